"""The bundle's README: what it forecasts, how well, and how that was checked."""

from typing import Any

from toolkit.contract.manifest import BundleManifest


def model_card(manifest: BundleManifest) -> str:
    """Markdown text from the manifest alone."""
    model, signal = manifest.model, manifest.signal
    units = dict(zip(signal.targets, signal.target_units, strict=True))
    targets = ", ".join(f"`{name}`{f' ({unit})' if unit else ''}" for name, unit in units.items())
    lines = [
        f"# {manifest.name}",
        "",
        f"Forecasts {targets} for the next {model.horizon} samples ({_span(model.horizon * signal.interval_s)}) from "
        f"{model.input_size} channels, trained on windows of {model.window_length} samples "
        f"({_span(model.window_length * signal.interval_s)}).",
        "",
        "Raw engineering units in and out; scaling is inside the graphs.",
        "",
        "## How well",
        "",
        f"On the test part of its data it {manifest.accuracy['verdict']}.",
        "",
        *_accuracy_table(manifest.accuracy),
        "",
        "## Checked",
        "",
        f"onnxruntime against torch: {manifest.parity['cases']} cases, {manifest.parity['failed']} failed, largest "
        f"difference {manifest.parity['worst']:.2g} standard deviations. `lstm-edge parity` repeats it; the answers in "
        "`golden.npz` let a machine without torch check itself.",
        "",
        "## Inputs, in this order",
        "",
        "| channel | variable | feature | unit |",
        "|---|---|---|---|",
        *(f"| `{c.name}` | {c.variable} | {c.feature} | {c.unit or '-'} |" for c in signal.channels),
        "",
        "## Graphs",
        "",
        f"Opset {manifest.opset}, onnxruntime {manifest.minimum_onnxruntime} or newer, layout {model.layout}.",
        "",
        *(f"- `{graph.file}`: {graph.name}, {graph.precision}" for graph in manifest.graphs),
        "",
    ]
    return "\n".join(lines)


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
