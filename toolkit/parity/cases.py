"""What is compared: ordinary and hard inputs over a grid, streams in pieces, sizes at which code turns."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from toolkit.contract.graph_io import GraphName
from toolkit.export.graphs import example_sizes
from toolkit.model.torch_graph import TorchGraph, Turn
from toolkit.parity.families import FROM_SAMPLES, HARD, MADE_UP
from toolkit.parity.grid import STREAM_BATCH, ParityGrid
from toolkit.parity.inputs import Feed, InputSource

CHUNKS, TURNS = "chunks", "turns"
ORDINARY = frozenset((*FROM_SAMPLES, *MADE_UP, CHUNKS))
"""Pools of inputs that a deployed model meets."""


@dataclass(frozen=True)
class Case:
    """One question to torch and to onnxruntime.

    Attributes:
        graph: which.
        batch: series.
        sequence: samples of each.
        family: of the inputs.
        feed: arrays by input.
        cuts: sizes of the pieces in which a stream is fed; none means in one call.
        turn: what is behind these sizes, where they are not of the grid.
    """

    graph: GraphName
    batch: int
    sequence: int
    family: str
    feed: Feed
    cuts: tuple[int, ...] = ()
    turn: Turn | None = None

    @property
    def pool(self) -> str:
        """Cases of one pool share a tolerance."""
        return CHUNKS if self.cuts else TURNS if self.turn is not None else self.family

    @property
    def hard(self) -> bool:
        """Whether its inputs are none that an ordinary machine gives."""
        return self.family in HARD


def cases_of(source: InputSource, grid: ParityGrid, graph: GraphName, further: Iterable[Turn] = ()) -> Iterator[Case]:
    """Every case of a graph, at `further` sizes too."""
    own = source.graphs[graph]
    made_at = [
        (sizes.get(own.tensors.batch_axis or ""), sizes.get(own.tensors.sequence_axis or ""))
        for sizes in (example_sizes(own), example_sizes(own, 1))
    ]
    for family in grid.families or source.families:
        for batch, sequence in grid.shapes_of(own.tensors, own.limits):
            if (batch, sequence) not in made_at:
                yield Case(graph, batch, sequence, family, source.feed(graph, family, batch, sequence))
    yield from _hard(source, grid, own)
    yield from _turns(source, own, (*own.turns, *further))
    if own.tensors.states and own.tensors.sequence_axis is not None:
        yield from _streams(source, grid, own)


def _hard(source: InputSource, grid: ParityGrid, graph: TorchGraph) -> Iterator[Case]:
    """Short inputs of the hard families; of "one channel far" as many series as there are channels."""
    tensors = graph.tensors
    channels = tensors.data[0].axes[-1]
    for family in HARD if grid.hard else ():
        for batch, sequence in grid.hard_shapes_of(tensors, graph.limits):
            wide = isinstance(channels, int) and family.startswith("one channel") and tensors.batch_axis is not None
            series = graph.limits.clipped(tensors.batch_axis, int(channels)) if wide else batch
            yield Case(graph.name, series, sequence, family, source.feed(graph.name, family, series, sequence))


def _turns(source: InputSource, graph: TorchGraph, turns: Iterable[Turn]) -> Iterator[Case]:
    family = source.families[0]
    for turn in {tuple(sorted(turn.sizes.items())): turn for turn in reversed([*turns])}.values():
        batch, sequence = (turn.sizes.get(a or "", 1) for a in (graph.tensors.batch_axis, graph.tensors.sequence_axis))
        feed = source.feed(graph.name, family, batch, sequence, turn.sizes)
        yield Case(graph.name, batch, sequence, family, feed, turn=turn)


def _streams(source: InputSource, grid: ParityGrid, graph: TorchGraph) -> Iterator[Case]:
    family, axis = source.families[0], graph.tensors.sequence_axis
    sequence = graph.limits.clipped(axis, max(grid.sequences))
    feed = source.feed(graph.name, family, STREAM_BATCH, sequence)
    for chunk in grid.chunks:
        cuts = tuple(grid.cuts(chunk, sequence))
        if min(cuts) >= graph.limits.at_least(axis):
            name = f"{family}, in chunks of {chunk or 'random size'}"
            yield Case(graph.name, STREAM_BATCH, sequence, name, feed, cuts)
