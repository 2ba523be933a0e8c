"""The bundle's README: what it forecasts, how well, and how that was checked."""

from typing import Any

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import QUANTILES
from toolkit.contract.manifest import BundleManifest, StatePolicy
from toolkit.contract.records import decode
from toolkit.contract.reports import IntervalScores
from toolkit.contract.signals import SignalSpec
from toolkit.errors import BundleError


def model_card(manifest: BundleManifest) -> str:
    """Markdown text from the manifest alone."""
    lines = [
        f"# {manifest.name}",
        "",
        _purpose(manifest),
        "",
        *_accuracy(manifest),
        "## Checked",
        "",
        f"onnxruntime against torch: {manifest.parity['cases']} cases, {manifest.parity['failed']} failed, "
        f"{_used(manifest.parity)}largest difference {manifest.parity['worst']:.2g}"
        f"{' standard deviations' if manifest.model else ''}. "
        "`lstm-edge parity` repeats it; the answers in `golden.npz` let a machine without torch check itself.",
        "",
        *_channels(manifest.signal),
        "## Graphs",
        "",
        f"Opset {manifest.opset}, onnxruntime {manifest.minimum_onnxruntime} or newer"
        f"{f', layout {manifest.model.layout}' if manifest.model else ''}.",
        "",
        *(_graph_line(entry) for entry in manifest.graphs),
        "",
        *_state(manifest.state),
        *_precision(manifest),
    ]
    return "\n".join(lines)


def _used(parity: dict[str, Any]) -> str:
    """Bundles of before it was told have no such figure."""
    return f"at most {100 * parity['used']:.0f} % of what is allowed, " if "used" in parity else ""


def _purpose(manifest: BundleManifest) -> str:
    model, signal = manifest.model, manifest.signal
    if model is None or signal is None:
        made_from = manifest.provenance.get("module", "a module")
        gateway = "" if signal is not None else " It has no signal description: no gateway runs it."
        return f"Made from `{made_from}`. Its numbers go in and come out as that module has them.{gateway}"
    units = dict(zip(signal.targets, signal.target_units, strict=True))
    targets = ", ".join(f"`{name}`{f' ({unit})' if unit else ''}" for name, unit in units.items())
    what = (
        f"Tells {model.classes} classes apart{_named(model.class_names)}"
        if model.classes
        else f"Forecasts {targets} for the next {model.horizon} samples ({_span(model.horizon * signal.interval_s)})"
    )
    return (
        f"{what} from {model.input_size} channels, trained on windows of {model.window_length} samples "
        f"({_span(model.window_length * signal.interval_s)}).\n\n"
        "Raw engineering units in and out; scaling is inside the graphs."
    )


def _named(class_names: tuple[str, ...]) -> str:
    """In the order of the logits."""
    return f" (logits of {', '.join(f'`{name}`' for name in class_names)})" if class_names else ""


def _accuracy(manifest: BundleManifest) -> list[str]:
    if not manifest.accuracy:
        return []
    verdict = f"On the test part of its data it {manifest.accuracy['verdict']}."
    return ["## How well", "", verdict, "", *_accuracy_table(manifest.accuracy), "", *_interval(manifest)]


def _interval(manifest: BundleManifest) -> list[str]:
    scores = manifest.accuracy.get("interval")
    if scores is None:
        return []
    interval = decode(IntervalScores, scores, "manifest.json: accuracy: interval", BundleError)
    levels = ", ".join(f"{level:g}" for level in interval.quantiles)
    return [f"Quantiles {levels} in the output `{QUANTILES}`: the {interval.sentence}.", ""]


def _channels(signal: SignalSpec | None) -> list[str]:
    if signal is None:
        return []
    rows = (f"| `{c.name}` | {c.variable} | {c.feature} | {c.unit or '-'} |" for c in signal.channels)
    return [
        "## Inputs, in this order",
        "",
        "| channel | variable | feature | unit |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _state(policy: StatePolicy | None) -> list[str]:
    if policy is None:
        return []
    age = "may be carried on without end" if policy.max_age is None else f"is begun anew after {policy.max_age} samples"
    return [
        f"The streaming graph's state begins with zeros, and again after every break of the series. Forecasts count "
        f"from sample {policy.warm_up} on. The state {age}.",
        "",
    ]


def _graph_line(entry: GraphEntry) -> str:
    notes: list[str] = [entry.name, entry.precision]
    notes += ["run one series at a time"] if entry.one_series else []
    notes += [f"{axis} of {size} or more" for axis, size in entry.min_sizes.items()]
    notes += [f"{axis} of at most {size}" for axis, size in entry.max_sizes.items()]
    notes += ["the answer for one series depends on the others in its call"] * entry.mixes_series
    return f"- `{entry.file}`: {', '.join(notes)}"


def _precision(manifest: BundleManifest) -> list[str]:
    decision = manifest.precision
    if decision is None:
        return []
    lines = [f"- {c.graph} in {c.precision}: {c.reason}" for c in decision.candidates]
    asked = f"Asked for: {decision.requested}; measured on the machine that made the bundle, and on {decision.windows}"
    fewer = {c.graph: c.windows for c in decision.candidates if 0 < c.windows < decision.windows}
    notes = "".join(f" {count} of them for the {name} graph, sample by sample." for name, count in fewer.items())
    return ["## Precision", "", f"{asked} held-out windows.{notes}", "", *lines, ""]


def _accuracy_table(accuracy: dict[str, Any]) -> list[str]:
    if "classes" in accuracy:
        return _class_table(accuracy)
    rows = {"this model": accuracy["test_standardised"]}
    if "streaming" in accuracy:
        rows["this model, streaming"] = accuracy["streaming"]["test_standardised"]
    rows |= {name: scores["test_standardised"] for name, scores in accuracy["baselines"].items()}
    return [
        "| forecast | MSE (standardised) | MAE (standardised) |",
        "|---|---|---|",
        *(f"| {name} | {errors['mse']:.4g} | {errors['mae']:.4g} |" for name, errors in rows.items()),
    ]


def _class_table(accuracy: dict[str, Any]) -> list[str]:
    rows = {"this model": accuracy["model"], f"always `{accuracy['commonest']}`": accuracy["baselines"]["commonest"]}
    figures = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "F1 (macro)"}
    if accuracy["model"]["false_alarm_rate"] is not None or accuracy["model"]["missed_rate"] is not None:
        figures |= {"false_alarm_rate": "false alarms", "missed_rate": "missed"}
    return [
        f"| told by | {' | '.join(figures.values())} |",
        "|---" * (len(figures) + 1) + "|",
        *(f"| {name} | {' | '.join(_figure(scores[key]) for key in figures)} |" for name, scores in rows.items()),
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _span(seconds: float) -> str:
    """Seconds in the largest unit of which they are at least one."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds:.4g} s"
