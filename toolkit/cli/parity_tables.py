"""The parity report as plain tables: by kind of input, by shape, and where the error lies."""

from collections.abc import Callable, Iterable, Iterator

from toolkit.cli.text_table import table, wrapped
from toolkit.contract.parity_reports import (
    ErrorProfile,
    ParityCase,
    ParityReport,
    PlacedError,
    VariantCheck,
    WeightCheck,
)

LARGEST_SHARE = 100.0
"""Of a tolerance: beyond that a figure says no more than that it is off."""


def parity_line(report: ParityReport) -> str:
    """One sentence."""
    summary = report.summary
    verdict = f"FAILED in {summary.failed}" if summary.failed else "passed"
    used = f"at most {_percent(summary.used)} of what is allowed; " if not summary.failed else ""
    largest = f"largest difference {summary.worst:.2g} {report.unit}".rstrip()
    return f"Parity: {summary.cases} cases, {verdict}; {used}{largest}"


def parity_table(report: ParityReport) -> str:
    """By graph, provider and input: cases, failures, errors and the share of the tolerance that was used; the rest."""
    header = ["input", "cases", "failed", "torch-ort", "ort error", "torch error", "of tol."]
    groups = _groups(report, lambda case: (case.graph, _provider(case), _kind(case)))
    parts = [table(header, list(_input_rows(groups))), *_heat_maps(report), *map(_profile_table, report.profiles)]
    told = (*map(_weights_line, report.weights), *map(_variant_line, report.variants), *report.notes, report.by_design)
    return "\n\n".join((*parts, "\n".join(map(wrapped, (*told, parity_line(report))))))


def _input_rows(groups: dict[tuple[str, ...], list[ParityCase]]) -> Iterator[list[str]]:
    """A heading for each graph and provider, then a row for each kind of input."""
    said = None
    for (graph, provider, kind), cases in groups.items():
        if said != (graph, provider):
            said = (graph, provider)
            yield [f"{graph}, {provider}"]
        yield [
            f"  {kind}",
            str(len(cases)),
            str(sum(not case.passed for case in cases)),
            f"{max(case.max_abs_diff for case in cases):.2g}",
            f"{max(case.ort_error for case in cases):.2g}",
            f"{max(case.torch_error for case in cases):.2g}",
            _percent(max(case.used for case in cases)),
        ]


def _groups(
    report: ParityReport, key: Callable[[ParityCase], tuple[str, ...]]
) -> dict[tuple[str, ...], list[ParityCase]]:
    groups: dict[tuple[str, ...], list[ParityCase]] = {}
    for case in report.cases:
        groups.setdefault(key(case), []).append(case)
    return groups


def _provider(case: ParityCase) -> str:
    return case.provider.removesuffix("ExecutionProvider")


def _kind(case: ParityCase) -> str:
    return "sizes where code turns" if case.pool == "turns" else case.input


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share < LARGEST_SHARE else "off"


def _heat_maps(report: ParityReport) -> Iterator[str]:
    """For each graph, batch by sequence: the share of the tolerance that the worst ordinary case used."""
    ordinary = [case for case in report.cases if case.input in ("data", "noisy", "normal", "walk")]
    for graph in dict.fromkeys(case.graph for case in ordinary):
        own = [case for case in ordinary if case.graph == graph and case.pool != "turns"]
        batches, sequences = (sorted({getattr(case, axis) for case in own}) for axis in ("batch", "sequence"))
        if len(batches) < 2 or len(sequences) < 2:
            continue
        worst: dict[tuple[int, int], float] = {}
        for case in own:
            place = (case.batch, case.sequence)
            worst[place] = max(worst.get(place, 0.0), case.used)
        rows = [
            [
                f"sequence {sequence}",
                *(_percent(worst[b, sequence]) if (b, sequence) in worst else "-" for b in batches),
            ]
            for sequence in sequences
        ]
        yield table([f"{graph}: of tolerance", *(f"batch {batch}" for batch in batches)], rows)


def _profile_table(profile: ErrorProfile) -> str:
    """Where the error lies: the worst target, horizon step and place in the sequence, and the stream in its parts."""
    worst = (
        ("target", profile.by_target),
        ("step ahead", profile.by_horizon),
        ("samples", profile.by_position),
    )
    rows = [
        _row(f"worst {what}: ", max(points, key=lambda p: p.ort_error)) for what, points in worst if len(points) > 1
    ]
    rows += [_row("stream, steps ", point) for point in profile.along_stream]
    return table([f"{profile.graph}: error on {profile.input}", "ort error", "torch error"], rows)


def _row(what: str, point: PlacedError) -> list[str]:
    place = str(int(point.place) + 1) if what.startswith("worst step") else point.place
    return [f"{what}{place}", f"{point.ort_error:.2g}", f"{point.torch_error:.2g}"]


def _weights_line(check: WeightCheck) -> str:
    missing = f"; not found: {', '.join(check.missing)} (folded or not used)" if check.missing else ""
    return (
        f"Weights of the {check.graph} graph: {check.exact} of {check.compared} tensors are the module's to the bit"
        f"{_changed(check.changed)}{missing}"
    )


def _changed(changed: Iterable[object]) -> str:
    count = len(list(changed))
    return f", {count} are CHANGED" if count else ""


def _variant_line(check: VariantCheck) -> str:
    weights = f"weights WRONG: {check.problems[0]}" if check.problems else "weights are fp32's, rounded"
    if check.accuracy_loss is None:
        return f"{check.graph} in {check.precision}: {weights}; no held-out readings to measure its forecast on"
    errors = ", ".join(
        f"{t} {e:.4g} ({f:.4g} in fp32)" for t, e, f in zip(check.targets, check.error, check.fp32_error, strict=True)
    )
    loss = f"{100 * check.accuracy_loss:+.2f} % where {100 * check.allowed:g} % are allowed"
    return f"{check.graph} in {check.precision}: {weights}; mean absolute error {errors}, {loss}"
