"""Whether sources are about one model: a report of another says nothing of this one, good or bad."""

from collections.abc import Iterator
from typing import Any

from toolkit.report.figures import short
from toolkit.report.judgement import own_scores
from toolkit.report.material import BundleSource, Material, Named, RunSource


def strangers(material: Material) -> Iterator[str]:
    """A sentence for each source that is about something else than the bundle or the run."""
    yield from _of_other_bundles(material)
    yield from _of_other_models(material)
    if material.run is not None and material.bundle is not None:
        yield from _run_and_bundle(material.run, material.bundle)
    if material.run is None and material.bundle is not None:
        yield from _of_other_trainings(material, material.bundle)
    known, told = _table(material)
    for data in material.data:
        if known is not None and data.report.sha256 != known:
            yield f"{data.name} is about another table than the {told} was trained on, by its SHA-256."


def seen_before(material: Material) -> Iterator[str]:
    """Evaluations on more windows of the run's own table than its test part has."""
    if material.run is None:
        return
    tested = max((one.report.windows.get("test", 0) for one in material.training), default=0)
    for one in material.evaluations:
        if tested and one.report.file == material.run.facts.data.file_name and one.report.windows > tested:
            yield f"{one.name} is about all of a table named as the run's own: the model was trained on some of it."


def _of_other_bundles(material: Material) -> Iterator[str]:
    """By the manifest's SHA-256: beside the bundle, or where there is none beside what a gateway check was of."""
    checked = {_digest(one) for one in material.readiness} - {""}
    shown = {material.bundle.digest} if material.bundle is not None else checked
    told = "the one shown here" if material.bundle is not None else "the gateway check"
    measured: tuple[Named[Any], ...] = (*material.latency, *material.readiness)
    if material.bundle is None and len(checked) > 1:
        yield "The gateway checks are about different bundles, by the manifest's SHA-256."
        return
    for one in measured:
        if shown and _digest(one) and _digest(one) not in shown:
            yield f"{one.name} is about another bundle than {told}, by the manifest's SHA-256."


def _digest(one: Named[Any]) -> str:
    return str(one.report.bundle.get("manifest_sha256", ""))


def _of_other_models(material: Material) -> Iterator[str]:
    """Evaluations name the run or the bundle that was scored, and a bundle names its run."""
    names = set()
    if material.run is not None:
        names.add(material.run.facts.name)
    if material.bundle is not None:
        names |= {material.bundle.manifest.name, str(material.bundle.manifest.provenance.get("run", ""))}
    scored: tuple[Named[Any], ...] = (*material.evaluations, *material.class_evaluations)
    for one in scored:
        if names and one.report.name not in names:
            other = short(one.report.name, 60)
            yield f"{one.name} is about another model than the one shown here, by its name: {other}."


def _run_and_bundle(run: RunSource, bundle: BundleSource) -> Iterator[str]:
    provenance = bundle.manifest.provenance
    data = provenance.get("data")
    table = data.get("sha256") if isinstance(data, dict) else None
    if provenance.get("config_sha256", run.config_sha256) != run.config_sha256:
        yield "The bundle was made from another run than the one shown here, by the configuration's SHA-256."
    elif isinstance(table, str) and table != run.facts.data.sha256:
        yield "The bundle was made from another run than the one shown here, by the SHA-256 of the table."


def _of_other_trainings(material: Material, bundle: BundleSource) -> Iterator[str]:
    """A bundle keeps the errors of its training report as they were."""
    if bundle.accuracy is None:
        return
    for one in material.training:
        # As text: an error that is not finite equals itself.
        if str(own_scores(one.report).test_standardised) != str(bundle.accuracy.test_standardised):
            yield f"{one.name} tells other errors than the bundle does: it is of another training."


def _table(material: Material) -> tuple[str | None, str]:
    """The table that the model was trained on, and which source says so."""
    if material.run is not None:
        return material.run.facts.data.sha256, "run"
    data = None if material.bundle is None else material.bundle.manifest.provenance.get("data")
    found = data.get("sha256") if isinstance(data, dict) else None
    return (found if isinstance(found, str) else None), "bundle"
