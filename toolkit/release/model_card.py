"""The bundle's README: what it forecasts, how well, and how that was checked."""

from typing import Any

from toolkit.contract.manifest import BundleManifest, GraphEntry
from toolkit.contract.signals import SignalSpec


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
        f"onnxruntime against torch: {manifest.parity['cases']} cases, {manifest.parity['failed']} failed, largest "
        f"difference {manifest.parity['worst']:.2g}{' standard deviations' if manifest.model else ''}. "
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
        *_precision(manifest),
    ]
    return "\n".join(lines)


def _purpose(manifest: BundleManifest) -> str:
    model, signal = manifest.model, manifest.signal
    if model is None or signal is None:
        made_from = manifest.provenance.get("module", "a module")
        gateway = "" if signal is not None else " It has no signal description: no gateway runs it."
        return f"Made from `{made_from}`. Its numbers go in and come out as that module has them.{gateway}"
    units = dict(zip(signal.targets, signal.target_units, strict=True))
    targets = ", ".join(f"`{name}`{f' ({unit})' if unit else ''}" for name, unit in units.items())
    what = (
        f"Tells {model.classes} classes apart"
        if model.classes
        else f"Forecasts {targets} for the next {model.horizon} samples ({_span(model.horizon * signal.interval_s)})"
    )
    return (
        f"{what} from {model.input_size} channels, trained on windows of {model.window_length} samples "
        f"({_span(model.window_length * signal.interval_s)}).\n\n"
        "Raw engineering units in and out; scaling is inside the graphs."
    )


def _accuracy(manifest: BundleManifest) -> list[str]:
    if not manifest.accuracy:
        return []
    verdict = f"On the test part of its data it {manifest.accuracy['verdict']}."
    return ["## How well", "", verdict, "", *_accuracy_table(manifest.accuracy), ""]


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
    rows = {"this model": accuracy["test_standardised"]}
    rows |= {name: scores["test_standardised"] for name, scores in accuracy["baselines"].items()}
    return [
        "| forecast | MSE (standardised) | MAE (standardised) |",
        "|---|---|---|",
        *(f"| {name} | {errors['mse']:.4g} | {errors['mae']:.4g} |" for name, errors in rows.items()),
    ]


def _span(seconds: float) -> str:
    """Seconds in the largest unit of which they are at least one."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds:.4g} s"
