"""Reads what a report is made from: a run folder, a bundle folder, JSON reports; it trusts none of them."""

import dataclasses
import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from toolkit.contract.class_reports import ClassEvaluationReport, ClassTrainingReport
from toolkit.contract.comparison_reports import ComparisonReport
from toolkit.contract.latency_reports import LatencyReport
from toolkit.contract.manifest import MANIFEST, BundleManifest, manifest_from_json
from toolkit.contract.parity_reports import ParityReport
from toolkit.contract.picture_reports import DataReport
from toolkit.contract.profile_reports import Profile
from toolkit.contract.readiness_reports import ReadinessReport
from toolkit.contract.reports import EvaluationReport, TrainingReport
from toolkit.errors import BundleError, ReportError
from toolkit.report.checks import check_report
from toolkit.report.decoding import clean_text, decoded
from toolkit.report.material import (
    BundleSource,
    Epoch,
    Material,
    Named,
    RecordedAccuracy,
    RecordedClassAccuracy,
    RunFacts,
    RunSource,
)

T = TypeVar("T")

KINDS: dict[str, tuple[type[Any], str]] = {
    DataReport.schema: (DataReport, "data"),
    TrainingReport.schema: (TrainingReport, "training"),
    ClassTrainingReport.schema: (ClassTrainingReport, "class_training"),
    EvaluationReport.schema: (EvaluationReport, "evaluations"),
    ClassEvaluationReport.schema: (ClassEvaluationReport, "class_evaluations"),
    ParityReport.schema: (ParityReport, "parity"),
    LatencyReport.schema: (LatencyReport, "latency"),
    ComparisonReport.schema: (ComparisonReport, "comparisons"),
    Profile.schema: (Profile, "profiles"),
    ReadinessReport.schema: (ReadinessReport, "readiness"),
}
"""By the schema that a report names: its class, and the field of `Material` that it goes into."""

RUN, CONFIG, METRICS = "run.json", "config.toml", "metrics.jsonl"
OF_A_RUN = ("training.json", "data.json", "evaluation.json")
"""Reports that lie in a run folder; runs of older releases lack the last two."""

MAX_BYTES = 1 << 25
MAX_TEXT_BYTES = 1 << 20
MOST_SOURCES = 32


def read_sources(paths: Sequence[Path]) -> Material:
    """Reads each source for what it is: a folder by the file that marks it, a file by the schema that it names.

    Args:
        paths: at most one run folder, at most one bundle folder, and JSON reports of any kind. `run.json` and
            `manifest.json` stand for their folders. A report that was read already, such as the `training.json` of the
            run, is not taken twice.

    Raises:
        ReportError: nothing there, two folders of one kind, a file that is no report, too large or contradicts itself.
        BundleError: a bundle whose manifest is not sound.
    """
    if len(paths) > MOST_SOURCES:
        raise ReportError("too many sources for one report", got=len(paths), allowed=f"at most {MOST_SOURCES}")
    paths = _marked(paths)
    folders = [path for path in paths if path.is_dir()]
    runs = [folder for folder in folders if (folder / RUN).is_file()]
    bundles = [folder for folder in folders if (folder / MANIFEST).is_file()]
    for folder in folders:
        if folder not in (*runs, *bundles):
            fix = "name a folder that 'lstm-edge train' or 'lstm-edge export' wrote"
            raise ReportError(f"{folder} is neither a run nor a bundle", got=f"neither {RUN} nor {MANIFEST}", fix=fix)
    for kind, found in (("run", runs), ("bundle", bundles)):
        if len(found) > 1:
            got = " and ".join(map(str, found[:2]))
            raise ReportError(f"two {kind} folders in one report", got=got, fix="make a report of each")
    contents = [content for folder in runs for content in _reports_of_run(folder)]
    files = [path for path in paths if path not in folders]
    names = _names(files, OF_A_RUN if runs else ())
    contents += [(path, names[path], _read(path, MAX_BYTES)) for path in files]
    material = _sorted(contents)
    run = _run(runs[0]) if runs else None
    return dataclasses.replace(material, run=run, bundle=_bundle(bundles[0]) if bundles else None)


def _marked(paths: Sequence[Path]) -> list[Path]:
    """A folder instead of the file that marks it, as `runs/demo/*.json` names it; each source once."""
    places = [path.parent if path.name in (RUN, MANIFEST) and path.is_file() else path for path in paths]
    return list({os.path.abspath(path): path for path in reversed(places)}.values())[::-1]


def _names(files: Sequence[Path], taken: Sequence[str]) -> dict[Path, str]:
    """A file's name, with its folder's where two have the same."""
    count = Counter(path.name for path in files)
    count.update(taken)
    return {path: clean_text(path.name if count[path.name] == 1 else str(Path(*path.parts[-2:]))) for path in files}


def _reports_of_run(folder: Path) -> list[tuple[Path, str, bytes]]:
    found = [folder / name for name in OF_A_RUN if (folder / name).is_file()]
    return [(path, clean_text(path.name), _read(path, MAX_BYTES)) for path in found]


def _sorted(contents: Sequence[tuple[Path, str, bytes]]) -> Material:
    seen: set[bytes] = set()
    kinds: dict[str, list[Named[Any]]] = {field: [] for _, field in KINDS.values()}
    for path, name, content in contents:
        digest = hashlib.sha256(content).digest()
        if digest not in seen:
            seen.add(digest)
            field, report = _report(path, content)
            kinds[field].append(Named(name, report))
    return Material(**{field: tuple(reports) for field, reports in kinds.items()})  # type: ignore[arg-type]


def _report(path: Path, content: bytes) -> tuple[str, Any]:
    value = _json(content, path)
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(schema, str) or schema not in KINDS:
        got = f"schema {schema!r:.60}" if schema is not None else "no schema"
        allowed = ", ".join(KINDS)
        raise ReportError(f"{path} is no report that can be shown", got=got, allowed=allowed, fix="write it again")
    kind, field = KINDS[schema]
    report = decoded(kind, value, str(path))
    check_report(report, str(path))
    return field, report


def _run(folder: Path) -> RunSource:
    facts = decoded(RunFacts, _json(_read(folder / RUN, MAX_BYTES), folder / RUN), str(folder / RUN))
    if facts.schema != "run/1":
        raise ReportError(f"{folder / RUN} is of another version", got=repr(facts.schema[:40]), allowed="run/1")
    contents = {name: _read(folder / name, MAX_TEXT_BYTES) for name in (CONFIG, METRICS)}
    contents |= {path.name: content for path, _, content in _reports_of_run(folder)}
    for name, content in contents.items():
        if facts.files.get(name, "") != hashlib.sha256(content).hexdigest():
            raise ReportError(f"{folder / name} is not what the run wrote", fix="train again, or copy the folder again")
    text = clean_text(contents[CONFIG].decode("utf-8", "replace"))
    epochs = _epochs(contents[METRICS], folder / METRICS)
    return RunSource(facts, text, hashlib.sha256(contents[CONFIG]).hexdigest(), epochs)


def _epochs(content: bytes, path: Path) -> tuple[Epoch, ...]:
    lines = [line for line in content.splitlines() if line.strip()]
    return tuple(decoded(Epoch, _json(line, path), f"{path}: line {place + 1}") for place, line in enumerate(lines))


def _bundle(folder: Path) -> BundleSource:
    content = _read(folder / MANIFEST, MAX_TEXT_BYTES)
    try:
        manifest = _clean(manifest_from_json(content, str(folder / MANIFEST)))
    # A number that is not finite, which JSON has not; one inside the other, deeper than Python follows.
    except (ValueError, RecursionError) as error:
        what = f"{folder / MANIFEST} is not JSON"
        raise BundleError(what, got=str(error)[:120], fix="copy the bundle again") from error
    accuracy, classes = _recorded(RecordedAccuracy, manifest), _recorded(RecordedClassAccuracy, manifest)
    return BundleSource(manifest, hashlib.sha256(content).hexdigest(), accuracy, classes)


def _recorded(kind: type[T], manifest: BundleManifest) -> T | None:
    """A free part of the manifest: what is not of this form is not shown."""
    try:
        return decoded(kind, manifest.accuracy, "accuracy") if manifest.accuracy else None
    except ReportError:
        return None


def _clean(manifest: BundleManifest) -> BundleManifest:
    """The manifest with names that a page can hold."""
    return decoded(BundleManifest, json.loads(manifest.to_json()), MANIFEST)


def _read(path: Path, most: int) -> bytes:
    try:
        # Non-blocking: opening a pipe must not wait for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ReportError(f"{path} is no plain file", fix="name a run, a bundle or a JSON report")
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise ReportError(f"cannot read {path}", got=got, fix="name a run, a bundle or a JSON report") from error
    if len(content) > most:
        raise ReportError(f"{path} is too large for a report", allowed=f"{most} bytes")
    return content


def _json(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path} is no JSON", got=str(error)[:120], fix="name a JSON report") from error
