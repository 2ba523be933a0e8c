"""Where a time lies among an asset's intervals, and how long each of them is waited for.

Places number intervals: consecutive integers. A place of raw samples is an interval of UTC that is closed on the left.
A place of rows is what lies nearest to a point of a grid (halves go to the later point), as `toolkit.data.gaps` puts
rows in training. That grid begins with the asset's first row. Where training filled no gap, it had no grid either: a
row followed another wherever the step between them was at most one and a half intervals. There the grid follows the
rows: it is laid anew through each row that is closed, and through the first row behind a gap, so that no drift of the
source's clock ever skips a place.
"""

import math

from toolkit.contract.frozen import dataclass
from toolkit.contract.signals import BREAK, Sampling, SignalSpec
from toolkit.edge.columns import columns_of
from toolkit.edge.settings import SignalSettings


@dataclass(frozen=True)
class Timing:
    """The times of one kind of asset.

    Attributes:
        interval_us: microseconds; a whole number of them where raw samples are.
        sampling: what the source sends.
        columns: how many there are.
        lateness_us: how far behind the others of its asset a reading may lie.
        patience_us: how far the others may be ahead of a silent column before a place is closed without it.
        max_ahead_us: a reading further ahead must be confirmed by another.
        max_open_readings: of one asset, in places that are not closed.
        follows: whether the grid of rows is laid anew through each of them.
    """

    interval_us: float
    sampling: Sampling
    columns: int
    lateness_us: int
    patience_us: int
    max_ahead_us: int
    max_open_readings: int
    follows: bool = False

    def place_of(self, origin_us: int, time_us: int) -> int:
        """The place that holds a time, where the grid begins at `origin_us` (unused for raw samples)."""
        if self.sampling == "samples":
            return time_us // int(self.interval_us)
        return math.floor((time_us - origin_us) / self.interval_us + 0.5)

    def stamp_of(self, origin_us: int, place: int) -> int:
        """The time that names a place: the start of an interval of raw samples, a row's own time."""
        return origin_us + round(place * self.interval_us)

    def first_us(self, origin_us: int, place: int) -> int:
        """The earliest time of a place: with `place = open_place`, whatever lies before it is done with."""
        if self.sampling == "samples":
            return place * int(self.interval_us)
        time = origin_us + math.ceil((place - 0.5) * self.interval_us)
        if not self.interval_us.is_integer():  # rounding: a microsecond
            time += self.place_of(origin_us, time) < place
            time -= self.place_of(origin_us, time - 1) >= place
        return time

    def origin_of(self, closed: tuple[int, int] | None, earliest_us: int | None) -> int:
        """Where the grid of rows begins, as long as rows move it: whatever is closed stays so on the new grid.

        Args:
            closed: the last closed place and the latest time of its readings; None before the first.
            earliest_us: of the open readings; None where there is none, which is so behind a closed place alone.
        """
        if closed is None:
            assert earliest_us is not None
            return earliest_us
        place, last_us = closed
        origin_us = last_us - round(place * self.interval_us)
        following = place + 1 if earliest_us is None else self.place_of(origin_us, earliest_us)
        if earliest_us is None or following == place + 1:
            return origin_us
        if following <= place:  # nearer than half an interval, and a row of its own all the same
            return origin_us + earliest_us - self.first_us(origin_us, place + 1)
        # Behind a gap a series begins anew, and the grid with it.
        origin_us = earliest_us - round(following * self.interval_us)
        return origin_us + max(last_us + 1 - self.first_us(origin_us, place + 1), 0)


def timing_of(signal: SignalSpec, settings: SignalSettings) -> Timing:
    """The times of a bundle's signal, and the settings for what it does not say."""
    samples = signal.sampling == "samples"
    interval_us = float(round(signal.interval_s * 1e6)) if samples else signal.interval_s * 1e6
    patience_us = interval_us if settings.patience_s is None else settings.patience_s * 1e6
    return Timing(
        interval_us,
        signal.sampling,
        len(columns_of(signal)),
        round(settings.lateness_s * 1e6),
        round(patience_us),
        round(settings.max_ahead_s * 1e6),
        settings.max_open_readings,
        follows=not samples and all(channel.gap == BREAK for channel in signal.channels),
    )
