"""The profile of one call as plain tables: its parts, its operators, its layers and their gates."""

from collections.abc import Iterator

from toolkit.cli.text_table import table, wrapped
from toolkit.contract.profile_reports import LayerWork, MachinePeak, Profile

_WORK = ("input kFLOP", "recurrent kFLOP", "elementwise kFLOP")


def profile_title(profile: Profile) -> str:
    """What was profiled, in one line."""
    return f"{profile.bundle}: {profile.graph}, {profile.precision}, batch {profile.batch}, sequence {profile.sequence}"


def profile_table(profile: Profile) -> str:
    """All of it, and how it was taken."""
    parts = [
        f"{profile_title(profile)}: one call takes {profile.predict_us:.1f} us",
        _parts(profile),
        table(
            ["operator", "nodes", "us", "of the call"],
            [[o.operator, str(o.nodes), f"{o.time_us:.1f}", percent(o.share)] for o in profile.operators],
        ),
        *(_layer(layer) for layer in profile.layers),
        "\n".join(map(wrapped, _lines(profile))),
    ]
    return "\n\n".join(parts)


def percent(share: float) -> str:
    """A share as people read it."""
    return f"{100 * share:.1f} %"


def floor_line(profile: Profile) -> str:
    """The distance to the floor in words."""
    if profile.floor_us is None or profile.distance is None:
        return "No floor: the graph has no matrix product that is counted"
    return (
        f"The call takes {profile.distance:.2f} times its floor of {profile.floor_us:.1f} us: "
        f"{profile.flops / 1e6:.3g} MFLOP at the measured peak"
    )


def _parts(profile: Profile) -> str:
    rows: list[tuple[str, float, float]] = [
        ("Python, guards, copies", profile.python_us, profile.python_share),
        ("onnxruntime's overhead", profile.overhead_us, profile.overhead_share),
        ("kernels", profile.kernels_us, profile.kernels_share),
    ]
    if profile.floor_us is not None and profile.floor_share is not None:
        rows.append(("(the floor: products at this machine's peak)", profile.floor_us, profile.floor_share))
    return table(
        ["part of the call", "us", "of the call"], [[name, f"{us:.1f}", percent(share)] for name, us, share in rows]
    )


def _layer(layer: LayerWork) -> str:
    """A line for each gate, then one for all of them."""
    way = ", both directions" if layer.directions == 2 else ""
    head = f"layer {layer.layer}, {layer.operator} {layer.input_size} -> {layer.hidden_size}{way}"
    rows = [
        [
            gate.gate,
            *(f"{us:.1f}" for us in (gate.input_us, gate.recurrent_us, gate.elementwise_us, gate.time_us)),
            *(f"{f / 1e3:.1f}" for f in (gate.input_flops, gate.recurrent_flops, gate.elementwise_flops)),
        ]
        for gate in layer.gates
    ]
    names = ("input_us", "recurrent_us", "elementwise_us", "time_us")
    flops = ("input_flops", "recurrent_flops", "elementwise_flops")
    sums = [f"{sum(getattr(gate, name) for gate in layer.gates):.1f}" for name in names]
    work = [f"{sum(getattr(gate, name) for gate in layer.gates) / 1e3:.1f}" for name in flops]
    header = ["gate", "input us", "recurrent us", "elementwise us", "all us", *_WORK]
    return table(header, [[head], *rows, ["all", *sums, *work]])


def _lines(profile: Profile) -> Iterator[str]:
    yield floor_line(profile) + "."
    yield from (_peak_line(peak) for peak in profile.peaks)
    yield (
        f"How it was taken: {profile.calls} plain calls in turns with {profile.profiled_calls} under onnxruntime's "
        f"profiler, medians; the overhead is a call of a graph of as many nodes that do nothing. Under the profiler a "
        f"call takes {profile.profiled_us:.1f} us instead of {profile.bound_us:.1f}; its kernels say "
        f"{profile.recorded_us:.1f} us, of which {profile.inflation_us:.1f} each are the profiler's own; what is "
        f"left was scaled by {profile.scale:.2f} to what the plain call leaves them."
    )
    if profile.layers:
        yield "A layer's time is shared by work: onnxruntime times a layer as a whole."
    yield from (f"Note: {note}." for note in profile.notes)


def _peak_line(peak: MachinePeak) -> str:
    kind = "matrix-vector product" if peak.columns == 1 else f"matrix product of {peak.columns} columns"
    return (
        f"Peak of the {kind}, {peak.rows} x {peak.inner} float32, warm in cache: {peak.gflops:.1f} GFLOP/s, "
        f"{peak.gb_per_s:.1f} GB/s of weights, on {peak.cores_used:.2f} cores."
    )
