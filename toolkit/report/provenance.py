"""What it takes to make it again: table, configuration, versions, machine, commit, commands."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from toolkit.report.figures import counted, short
from toolkit.report.material import Material
from toolkit.report.page import Block, Facts, Missing, Section, Text, table
from toolkit.report.verdict import TRAIN_COMMAND

_PLACE = re.compile(r"^(\s*files?\s*=.*)$", re.MULTILINE)
_FOLDERS = re.compile(r'"[^"\n]*[/\\]([^"/\\\n]+)"')


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
    return _PLACE.sub(lambda line: _FOLDERS.sub(r'"\1"', line[1]), config_toml)


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
        run = material.bundle.manifest.provenance.get("run")
        name = run if isinstance(run, str) else material.bundle.manifest.name
        yield f"lstm-edge export {shlex.quote('runs/' + short(name, 80))} --out {bundle}"
    for kind, line in (
        (material.parity, f"lstm-edge parity {bundle} --json parity.json"),
        (material.latency, f"lstm-edge benchmark {bundle} --json latency.json"),
        (material.profiles, f"lstm-edge benchmark {bundle} --profile --json profile.json"),
        (material.comparisons, "lstm-edge compare before.json after.json --json comparison.json"),
        (material.readiness, f"lstm-edge gateway check {bundle} --json ready.json"),
    ):
        if kind:
            yield line
    yield "lstm-edge report RUN BUNDLE *.json"
