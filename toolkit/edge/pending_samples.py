"""Which of the journalled samples still wait for their interval to close.

The samples of one commit are one record, a *batch*. A sample is done with as soon as its asset's record, in the same
transaction, has a later `open_place`; its batch is removed when that holds for all of its samples. Nothing is searched
for, no index is kept, and a batch is written once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from toolkit.edge.changes import AssetRecord, Sample

FirstUs = Callable[[int, int], int]
"""(origin_us of an asset, its open place) -> the time before which its samples are done with: `Timing.first_us`."""
_BEFORE_ALL = -(1 << 63)


class PendingSamples:
    """For each asset its open samples, and for each batch how many of its samples are open.

    Args:
        first_us: when a place begins.

    Attributes:
        next_batch: the number of the batch that is written next.
        done: batches that hold nothing open any more.
    """

    def __init__(self, first_us: FirstUs) -> None:
        self._first_us = first_us
        self._open: dict[int, list[tuple[int, int]]] = {}  # asset -> (time_us, batch) in order of acceptance
        self._left: dict[int, int] = {}
        self.next_batch = 1
        self.done: list[int] = []

    def still_open(self, samples: Sequence[Sample], records: Mapping[int, AssetRecord]) -> list[Sample]:
        """Those that these records do not close."""
        begins = {number: self._begin(record) for number, record in records.items()}
        return [sample for sample in samples if sample.time_us >= begins.get(sample.asset, _BEFORE_ALL)]

    def add(self, batch: int, samples: Iterable[Sample]) -> None:
        """Notes the open samples of a batch that is in the journal."""
        count = 0
        for count, sample in enumerate(samples, 1):  # noqa: B007 - how many there are is read behind the loop
            self._open.setdefault(sample.asset, []).append((sample.time_us, batch))
        if count:
            self._left[batch] = count
        else:
            self.done.append(batch)
        self.next_batch = max(self.next_batch, batch + 1)

    def close(self, record: AssetRecord) -> None:
        """Takes out the samples of an asset that its record closes."""
        waiting = self._open.get(record.number)
        if not waiting:
            return
        begin = self._begin(record)
        kept = [entry for entry in waiting if entry[0] >= begin]
        for time_us, batch in waiting:
            if time_us < begin:
                self._release(batch)
        if kept:
            self._open[record.number] = kept
        else:
            del self._open[record.number]

    def removed(self, batches: Iterable[int]) -> None:
        """Forgets batches that are not in the journal any more."""
        gone = set(batches)
        self.done = [batch for batch in self.done if batch not in gone]

    def _release(self, batch: int) -> None:
        self._left[batch] -= 1
        if not self._left[batch]:
            del self._left[batch]
            self.done.append(batch)

    def _begin(self, record: AssetRecord) -> int:
        return _BEFORE_ALL if record.open_place is None else self._first_us(record.origin_us, record.open_place)
