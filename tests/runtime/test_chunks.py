import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.runtime.chunks import CHUNK, WORTH_SHARING, chunk_bounds, series_in_a_call


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 8), st.integers(1, 16))
def test_every_series_is_in_one_chunk_of_nearly_one_size(series, chunk, least, cores):
    bounds = chunk_bounds(series, chunk, least, cores)
    sizes = [stop - start for start, stop in itertools.pairwise(bounds)]
    assert bounds[0] == 0
    assert bounds[-1] == series
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(least, series)
    assert max(sizes) <= max(chunk, 2 * least)


@pytest.mark.parametrize(
    ("series", "chunk", "cores", "chunks"),
    [(96, 32, 1, 3), (96, 32, 2, 4), (64, 32, 2, 2), (WORTH_SHARING, 32, 2, 2), (WORTH_SHARING - 1, 32, 2, 1)],
)
def test_no_core_is_left_without_a_chunk_while_another_works(series, chunk, cores, chunks):
    assert len(chunk_bounds(series, chunk, cores=cores)) - 1 == chunks


@pytest.mark.parametrize(("samples", "series"), [(60, CHUNK), (1000, CHUNK), (20, 96), (1, 1920)])
def test_more_series_of_short_sequences_go_together(samples, series):
    assert series_in_a_call(samples) == series
