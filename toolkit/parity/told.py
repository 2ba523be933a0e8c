"""What a parity report says, in one line."""

from toolkit.contract.parity_reports import ParityReport, VariantCheck
from toolkit.errors import ParityError


def raise_if_failed(report: ParityReport) -> None:
    """Turns a failed report into an error.

    Raises:
        ParityError: says how many cases failed, the first of them, and where it parts.
    """
    if report.passed:
        return
    case = next((case for case in report.cases if not case.passed), None)
    if case is None:
        raise ParityError(f"parity: {_otherwise(report)}")
    where = f"{case.graph} graph on {case.provider}, batch {case.batch} x sequence {case.sequence}, input {case.input}"
    reason = case.problem or (
        f"{f'{case.ort_error:.3g} {report.unit}'.rstrip()} from the truth where {case.tolerance:.3g} are allowed "
        f"(torch itself: {case.torch_error:.3g})"
    )
    raise ParityError(
        f"parity: {report.summary.failed} of {report.summary.cases} cases failed; "
        f"first: {where}: {reason}{_place(report)}{_weights_told(report, '; ')}"
    )


def _otherwise(report: ParityReport) -> str:
    """What failed where every case passed."""
    if not all(check.passed for check in report.weights):
        return f"{_weights_told(report)}; no answer in the grid shows it"
    variant = next((check for check in report.variants if not check.passed), None)
    if variant is not None:
        return f"the {variant.graph} graph in {variant.precision}: {_variant_told(variant)}"
    profile = next(profile for profile in report.profiles if profile.along_stream)
    worst = max(profile.along_stream, key=lambda point: point.ort_error)
    return (
        f"the {profile.graph} graph drifts along a stream: {worst.ort_error:.2g} from the truth at steps "
        f"{worst.place}, torch itself {worst.torch_error:.2g}"
    )


def _variant_told(variant: VariantCheck) -> str:
    if variant.problems:
        more = f" (and {len(variant.problems) - 1} more)" if len(variant.problems) > 1 else ""
        return f"its weights are not fp32's: {variant.problems[0]}{more}"
    loss = variant.accuracy_loss or 0.0
    return (
        f"the forecast's error on {variant.windows} held-out windows grows by {100 * loss:.2f} %, "
        f"{100 * variant.allowed:g} % are allowed"
    )


def _weights_told(report: ParityReport, before: str = "") -> str:
    """The first tensor of a module that a graph does not hold, in words."""
    check = next((check for check in report.weights if not check.passed), None)
    if check is None:
        return ""
    if not check.changed:
        return f"{before}{check.missing[0]} of the module is not in the {check.graph} graph"
    first = check.changed[0]
    more = f" (and {len(check.changed) - 1} more tensors)" if len(check.changed) > 1 else ""
    place = ", ".join(map(str, first.place))
    return (
        f"{before}{first.differing} of {first.size} numbers of {first.tensor} are not the module's in the "
        f"{check.graph} graph ({first.stored}), the worst at [{place}] by {first.difference:.2g}{more}"
    )


def _place(report: ParityReport) -> str:
    found = report.divergence
    if found is None:
        return ""
    parts = {"step": found.step, "series": found.batch, "": found.channel}
    place = f"; parts first in {found.tensor}" + "".join(
        f", {name} {value}".replace("  ", " ") for name, value in parts.items() if value is not None
    )
    node = report.parting
    if node is None:
        return place
    cause = f" ({node.cause})" if node.cause else ""
    return f"{place}; the first node that parts is {node.operator} {node.node}, {node.module}{cause}"
