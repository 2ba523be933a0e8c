"""What a trial's child is asked: in a place of its own, because the child needs nothing else of its parent's side."""

from toolkit.contract.frozen import dataclass


@dataclass(frozen=True)
class TrialRequest:
    """What the child is asked to do.

    Attributes:
        folder: the bundle's.
        session_file: of `lstm-edge tune-session`, or "".
        memory_bytes: address space beyond what an empty child has.
        time_s: processor and wall time.
        series: in the one large call, as many as a gateway may have assets.
        timed_s: for the timed calls of each graph.
    """

    folder: str
    session_file: str = ""
    memory_bytes: int = 1 << 30
    time_s: float = 60.0
    series: int = 256
    timed_s: float = 0.05
