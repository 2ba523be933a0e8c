import pytest

from toolkit.contract.graph_io import GraphSignature, SizeLimits, TensorSpec
from toolkit.parity import ParityGrid
from toolkit.parity.grid import quick_grid, standard_grid


def test_every_pair_of_sizes_is_met_once():
    shapes = list(ParityGrid((1, 4), (2, 9, 3)).shapes())
    assert len(shapes) == 6
    assert set(shapes) == {(1, 2), (4, 2), (1, 9), (4, 9), (1, 3), (4, 3)}


def test_the_standard_grid_goes_from_one_sample_to_four_windows():
    grid = standard_grid(60)
    assert grid.batches == (1, 2, 3, 7, 64)
    assert grid.sequences == (1, 2, 5, 60, 61, 240)


@pytest.mark.parametrize("window", [1, 2, 4, 5])
def test_no_shape_stands_twice_for_a_short_window(window):
    shapes = list(standard_grid(window).shapes())
    assert len(shapes) == len(set(shapes))
    assert {sequence for _, sequence in shapes} == {1, 2, 5, window, window + 1, 4 * window}


@pytest.mark.parametrize("window", [1, 6, 60])
def test_the_quick_grid_is_a_part_of_the_standard_one(window):
    quick, standard = quick_grid(window), standard_grid(window)
    assert set(quick.shapes()) < set(standard.shapes())
    assert {batch for batch, _ in quick.shapes()} > {1}


@pytest.mark.parametrize("chunk", [1, 7, 50, 0])
def test_the_pieces_make_up_the_longest_sequence(chunk):
    grid = ParityGrid((1,), (5, 48), seed=3)
    cuts = grid.cuts(chunk)
    assert sum(cuts) == 48
    assert min(cuts) >= 1
    assert max(cuts) <= (chunk or 11)
    assert grid.cuts(chunk) == cuts


def test_pieces_of_random_size_differ_and_follow_the_seed():
    cuts = [tuple(ParityGrid((1,), (200,), seed=seed).cuts(0)) for seed in (0, 1)]
    assert cuts[0] != cuts[1]
    assert len(set(cuts[0])) > 3


def test_sizes_are_moved_to_the_nearest_that_a_graph_takes():
    tensors = GraphSignature((TensorSpec("x", ("batch", "sequence", 3)),), (TensorSpec("y", ("batch",)),))
    limits = SizeLimits({"sequence": 4}, {"sequence": 50, "batch": 7})
    grid = standard_grid(60)
    assert grid.shapes_of(tensors, limits) == [(b, s) for s in (4, 5, 50) for b in (1, 2, 3, 7)]
    assert grid.hard_shapes_of(tensors, limits) == [(2, 4), (3, 50)]
