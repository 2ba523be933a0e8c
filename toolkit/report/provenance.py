"""What it takes to make it again: table, configuration, versions, machine, commit, commands."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from toolkit.contract.graph_io import TensorSpec
from toolkit.report.figures import counted, short
from toolkit.report.material import BundleSource, Material
from toolkit.report.page import Block, Facts, Missing, Section, Text, table
from toolkit.report.verdict import TRAIN_COMMAND

_STRING = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_NAME = re.compile(_STRING)
_PLACE = re.compile(rf"""^[ \t]*files?[ \t]*=[ \t]*(?:{_STRING}|\[(?:{_STRING}|[^\]"'])*\])""", re.MULTILINE)
"""The setting that names the table: one file, or a list of several, which TOML lets stand on many lines."""
_FOLDER = re.compile(r"^.*(?:/|\\\\)")


def provenance_section(material: Material) -> Section:
    """Everything that a source says of where figures come from."""
    blocks: list[Block] = [Facts(tuple(_facts(material)))]
    environments = [pair for pair in material.environments if pair[1]]
    if environments:
        blocks.append(_machines(environments))
        blocks.append(_versions(material, environments))
    blocks.append(Text("To make it again", "\n".join(_commands(material))))
    if material.run is not None:
        blocks.append(Text("config.toml of the run", without_folders(material.run.config_toml), folded=True))
    else:
        blocks.append(Missing("the configuration, which lies in a run folder", TRAIN_COMMAND))
    return Section("provenance", "Provenance", tuple(blocks))


def without_folders(config_toml: str) -> str:
    """The configuration with names of files alone: a report is passed on, and a folder may name a person."""
    return _PLACE.sub(lambda setting: _NAME.sub(_without_folder, setting[0]), config_toml)


def _without_folder(name: "re.Match[str]") -> str:
    quote, path = name[0][0], name[0][1:-1]
    # Between single quotes TOML has no escapes: a backslash is one.
    rest = _FOLDER.sub("", path, count=1) if quote == '"' else re.split(r"[/\\]", path)[-1]
    return f"{quote}{rest}{quote}"


def _facts(material: Material) -> Iterator[tuple[str, str]]:
    if material.run is not None:
        data = material.run.facts.data
        yield "Run", short(material.run.facts.name, 80)
        yield "Table", f"{short(data.file_name, 80)}, {counted(data.rows, 'row')}"
        yield "SHA-256 of the table", short(data.sha256, 80)
        yield "SHA-256 of the configuration", material.run.config_sha256
        filled = {
            "rows dropped": data.dropped_rows,
            "rows merged": data.merged_rows,
            "of bad quality": data.bad_quality,
        }
        told = [f"{count:,} {what}" for what, count in filled.items() if count]
        if told:
            yield "Not as in its file", ", ".join(told)
    elif material.data:
        yield "Table", short(material.data[0].report.file, 80)
        yield "SHA-256 of the table", short(material.data[0].report.sha256, 80)
    if material.bundle is not None:
        manifest = material.bundle.manifest
        yield "Bundle", short(manifest.name, 80)
        yield "SHA-256 of its manifest", material.bundle.digest
        yield "ONNX opset", f"{manifest.opset}, from onnxruntime {manifest.minimum_onnxruntime} on"
        yield "Graphs", ", ".join(f"{entry.name} {entry.precision}" for entry in manifest.graphs)
    for name, environment in material.environments:
        commit = environment.get("commit")
        if isinstance(commit, str):
            yield f"Commit of the toolkit, {short(name, 40)}", short(commit, 64)


def _machines(environments: "list[tuple[str, dict[str, Any]]]") -> Block:
    keys = ("cpu", "cores", "machine", "system", "python")
    rows = [(short(name, 40), *(short(str(told.get(key, "-")), 60) for key in keys)) for name, told in environments]
    return table("Machines", ("source", "processor", "cores", "architecture", "system", "Python"), rows, left=6)


def _versions(material: Material, environments: "list[tuple[str, dict[str, Any]]]") -> Block:
    """A column for each source that tells versions, sources of the same versions in one."""
    sources: dict[tuple[tuple[str, str], ...], list[str]] = {}
    told = [(name, environment.get("packages")) for name, environment in environments]
    if material.bundle is not None:
        told.append(("manifest.json", material.bundle.manifest.provenance.get("versions")))
    for name, packages in told:
        if isinstance(packages, dict) and packages:
            found = tuple(sorted((str(package), str(version)) for package, version in packages.items()))
            sources.setdefault(found, []).append(short(name, 30))
    names = sorted({package for found in sources for package, _ in found})
    rows = [(short(name, 40), *(short(dict(found).get(name, "-"), 30) for found in sources)) for name in names]
    header = ("package", *(", ".join(who) for who in sources.values()))
    return table("Versions", header, rows, left=len(header))


def _commands(material: Material) -> Iterator[str]:
    """The commands that wrote the sources, in the order in which they are run."""
    if material.run is not None:
        yield f"lstm-edge train config.toml --run {shlex.quote('runs/' + material.run.facts.name)}"
    bundle = shlex.quote("exported/" + (material.bundle.manifest.name if material.bundle else material.name))
    if material.bundle is not None:
        yield _export_command(material.bundle, bundle)
    foreign = material.bundle is not None and material.bundle.is_foreign
    module = f" --module {_module(material.bundle)}" if material.bundle is not None and foreign else ""
    for kind, line in (
        (material.parity, f"lstm-edge parity {bundle}{module} --json parity.json"),
        (material.latency, f"lstm-edge benchmark {bundle} --json latency.json"),
        (material.profiles, f"lstm-edge benchmark {bundle} --profile --json profile.json"),
        (material.comparisons, "lstm-edge compare before.json after.json --json comparison.json"),
        (material.readiness, f"lstm-edge gateway check {bundle} --json ready.json"),
    ):
        if kind:
            yield line
    yield "lstm-edge report RUN BUNDLE *.json"


def _export_command(source: BundleSource, bundle: str) -> str:
    manifest = source.manifest
    if not source.is_foreign:
        run = manifest.provenance.get("run")
        name = run if isinstance(run, str) else manifest.name
        return f"lstm-edge export {shlex.quote('runs/' + short(name, 80))} --out {bundle}"
    entry = manifest.graphs[0]
    options = [f"--input {shlex.quote(_spec(tensor))}" for tensor in entry.inputs]
    if entry.states:
        options += [f"--output {shlex.quote(tensor.name)}" for tensor in entry.outputs]
        options += [f"--state {shlex.quote(f'{first}={then}')}" for first, then in entry.states.items()]
    options += ["--signal FILE"] if manifest.signal is not None else []
    return f"lstm-edge export --module {_module(source)} --weights FILE {' '.join(options)} --out {bundle}"


def _module(source: BundleSource) -> str:
    """What builds it, as far as the manifest says: one that was exported in Python is known by its class alone."""
    known = source.manifest.provenance.get("module")
    return shlex.quote(short(known, 200)) if isinstance(known, str) and ":" in known else "PACKAGE.MODULE:FACTORY"


def _spec(tensor: TensorSpec) -> str:
    return f"{tensor.name}: float32[{', '.join(map(str, tensor.axes))}]"
