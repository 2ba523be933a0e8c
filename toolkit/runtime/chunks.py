"""How a large batch is cut into calls.

In one call onnxruntime computes each step of all series before the next step, and the gates of a thousand series fit
no cache; memory for them has to be asked of the system anew each time, which takes as long again. Chunks fit. The
answer for a series is computed from the same numbers in the same order: in fp32 it is that of one call, to the bit.
"""

CHUNK = 32
"""Series in a call. Windows of 60: from 12 to 64 there is little between them (benchmarks/bulk.py); larger ones cost a
small batch fewer calls."""
SAMPLES = 32 * 60
"""Of all series in a call: of short sequences more series go together."""
WORTH_SHARING = 8
"""Series from which on a call is shared among cores: waking a thread takes as long as a window or two."""


def series_in_a_call(samples: int) -> int:
    """How many series of that many samples go into one call."""
    return max(CHUNK, SAMPLES // max(samples, 1))


def chunk_bounds(series: int, chunk: int, least: int = 1, cores: int = 1) -> list[int]:
    """Where chunks begin and the last one ends: as few as fit, all of nearly one size.

    Args:
        series: in all, 1 or more.
        chunk: the most in one call.
        least: the fewest; there are fewer chunks, and larger ones, where `series` does not allow it otherwise.
        cores: that take a chunk each; none is left without one while the others work.
    """
    count = -(-series // chunk)
    if series >= WORTH_SHARING:
        count = -(-count // cores) * cores
    count = max(1, min(count, series // least))
    return [series * number // count for number in range(count + 1)]
