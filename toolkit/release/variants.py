"""The graphs of a bundle in other precisions: made, proven, measured, and kept or not."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from toolkit.contract.graph_entry import GraphEntry, Precision
from toolkit.contract.graph_io import GraphName
from toolkit.contract.manifest import Candidate, PrecisionDecision
from toolkit.errors import BundleError, GateError, ModelError
from toolkit.export.lint import check_graph
from toolkit.export.precision import to_fp16, to_int8
from toolkit.parity.grid import quick_grid
from toolkit.parity.inputs import InputSource
from toolkit.release.material import Material, entry_of
from toolkit.release.precision_choice import Request, Variant, candidates, precisions, variant
from toolkit.release.variant_golden import golden_error, tolerances_of
from toolkit.runtime.golden_case import GoldenCase

BATCH = 16
"""Series of the batch that is timed beside one series."""


@dataclass(frozen=True)
class Chosen:
    """The graphs that go into a bundle.

    Attributes:
        entries: their lines in the manifest.
        files: their contents by file name.
        decision: what was measured; None where fp32 was asked for.
    """

    entries: list[GraphEntry]
    files: dict[str, bytes]
    decision: PrecisionDecision | None


def choose_precision(
    entries: Sequence[GraphEntry],
    protos: Mapping[GraphName, onnx.ModelProto],
    material: Material,
    cases: Sequence[GoldenCase],
    *,
    requested: str,
    max_accuracy_loss: float,
) -> Chosen:
    """Makes the variants that were asked for and keeps those that are worth it.

    fp32 graphs always stay: parity is judged on them, and a gateway can fall back on them.

    Args:
        entries: the fp32 graphs.
        protos: the same.
        material: what they were made from.
        cases: golden cases, for the variants' tolerances.
        requested: `fp32`, `fp16`, `int8`, or `auto`: whatever is faster here beyond noise and stays accurate.
        max_accuracy_loss: how much the forecast's error may grow, as a part of fp32's.

    Raises:
        GateError: a variant that was asked for by name is wrong, or costs too much accuracy.
        ModelError: one that cannot be made.
    """
    chosen = Chosen([], {}, None)
    found: list[Candidate] = []
    for entry in entries:
        proto = protos[entry.name]
        chosen.files[entry.file] = proto.SerializeToString()
        own = [case for case in cases if case.graph == entry.name]
        kept, judged = _choose(entry, proto, material, own, requested=requested, max_accuracy_loss=max_accuracy_loss)
        chosen.entries.append(dataclasses.replace(entry, preferred=kept is None))
        found += judged
        if kept is not None:
            chosen.entries.append(kept.entry)
            chosen.files[kept.entry.file] = kept.content
    if requested == "fp32":
        return chosen
    windows = 0 if material.held_out is None else len(material.held_out.x)
    decision = PrecisionDecision(requested, max_accuracy_loss, windows, tuple(found))
    return dataclasses.replace(chosen, decision=decision)


def _choose(
    entry: GraphEntry,
    proto: onnx.ModelProto,
    material: Material,
    cases: Sequence[GoldenCase],
    *,
    requested: str,
    max_accuracy_loss: float,
) -> tuple[Variant | None, list[Candidate]]:
    """The variant of one graph that is kept, and what was found of all of them."""
    fp32 = variant(entry, proto.SerializeToString())
    variants: list[Variant] = []
    refused: list[Candidate] = []
    for precision in precisions(requested):
        try:
            variants.append(make_variant(entry, proto, precision, material, cases))
        except (ModelError, GateError) as error:  # nothing that can be stored or quantised, or it does not run
            if requested != "auto":
                raise
            refused.append(_refused(entry.name, precision, str(error)))
    if not variants:
        return None, refused
    judged = candidates(
        fp32,
        variants,
        requests(material, entry.name),
        material.held_out,
        max_accuracy_loss=max_accuracy_loss,
        must_be_faster=requested == "auto",
    )
    kept = next((v for v, c in zip(variants, judged, strict=True) if c.kept), None)
    if kept is None and requested != "auto":
        fix = "--precision fp32, or a larger --max-accuracy-loss"
        raise GateError(f"the {entry.name} graph in {requested}: {judged[0].reason}", fix=fix)
    return kept, [*refused, *judged]


def refuse_what_cannot_be_made(material: Material, protos: Mapping[GraphName, onnx.ModelProto], requested: str) -> None:
    """Makes what was asked for by name and drops it: in hundredths of a second, before parity takes its many.

    Raises:
        ModelError: a graph cannot be made in that precision.
        GateError: it would not hold what its fp32 graph does.
    """
    for name, proto in protos.items():
        for precision in precisions(requested) if requested != "auto" else ():
            smaller(entry_of(material.graphs[name]), proto, precision)


def smaller(entry: GraphEntry, proto: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """A graph in another precision.

    Raises:
        ModelError: it cannot be made, or would be run otherwise than the graph may be.
        GateError: it does not hold what its fp32 graph does.
    """
    if precision == "fp16":
        return to_fp16(proto)
    least = entry.limits.at_least(entry.signature.batch_axis)
    if entry.mixes_series or least > 1:
        why = f"it takes {least} or more" if least > 1 else "its answer for one depends on the others"
        what = f"int8 of the {entry.name} graph is refused: int8 is run one series at a time, and {why}"
        raise ModelError(what, fix="--precision fp16")
    return to_int8(proto, entry.name)


def make_variant(
    entry: GraphEntry, proto: onnx.ModelProto, precision: Precision, material: Material, cases: Sequence[GoldenCase]
) -> Variant:
    """A graph in another precision, proven to hold the weights of the fp32 one and to run in every shape.

    Raises:
        GateError: it does not.
        ModelError: it cannot be made.
    """
    changed = smaller(entry, proto, precision)
    opset = next(each.version for each in proto.opset_import if each.domain in ("", "ai.onnx"))
    check_graph(changed, entry.signature, entry.name, opset, precision)
    own = dataclasses.replace(
        entry,
        file=f"{entry.name}.{precision}.onnx",
        precision=precision,
        one_series=precision == "int8",
        preferred=True,
    )
    try:
        made = variant(own, changed.SerializeToString())
        _check_shapes(made, material)
        tolerances, off = tolerances_of(entry, made.graph, cases), golden_error(made.graph, cases)
    except BundleError as error:  # a graph of our own making: nobody's bundle is at fault
        raise GateError(f"{own.file} does not run: {error}") from error
    return dataclasses.replace(made, entry=dataclasses.replace(own, golden_atol=tolerances), golden_error=off)


def _check_shapes(made: Variant, material: Material) -> None:
    """Every shape of a small grid runs and gives finite answers."""
    graph = material.graphs[made.entry.name]
    source = InputSource(material.graphs, material.samples, seed=2)
    for batch, sequence in quick_grid(material.window_length).shapes_of(graph.tensors, graph.limits):
        feed = source.feed(graph.name, source.families[0], batch, sequence)
        for name, values in made.graph.run(feed).items():
            if not np.isfinite(values).all():
                where = f"batch {batch} x sequence {sequence}"
                raise GateError(f"{made.entry.file}: {name} is not finite at {where}")


def requests(material: Material, name: GraphName) -> tuple[Request, ...]:
    """One series, of a window or one step of a stream; and a batch, where the graph takes one."""
    graph = material.graphs[name]
    source = InputSource(material.graphs, material.samples, seed=3)
    batch_axis, sequence_axis = graph.tensors.batch_axis, graph.tensors.sequence_axis
    length = graph.limits.clipped(sequence_axis, 1 if graph.tensors.states else material.window_length)
    batches = (graph.limits.at_least(batch_axis), graph.limits.clipped(batch_axis, BATCH))
    return tuple(
        Request(source.feed(name, source.families[0], batch, length), batch, None if sequence_axis is None else length)
        for batch in dict.fromkeys(batches if batch_axis is not None else batches[:1])
    )


def _refused(graph: GraphName, precision: Precision, reason: str) -> Candidate:
    return Candidate(graph, precision, None, (), None, (), (), 0, kept=False, reason=f"not made: {reason}")
