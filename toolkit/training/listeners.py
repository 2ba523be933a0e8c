"""Several who want to know how one training goes."""

from toolkit.training.checkpoint import EpochRecord
from toolkit.training.loop import Progress


class Listeners:
    """Passes on to each of them, in the order given; a `Progress` itself.

    Args:
        listeners: who is told.
    """

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def on_seed(self, seed: int, number: int, total: int) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.on_seed(seed, number, total)

    def on_batch(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.on_batch(epoch, done, total, loss)

    def on_epoch(self, record: EpochRecord) -> None:
        """Passes it on."""
        for listener in self._listeners:
            listener.on_epoch(record)
