import numpy as np
import pytest
import torch
from sensor_tables import data_config, sensor_table, wave

from toolkit.data import build_dataset
from toolkit.data.dataset import test_stretches as stretches_of_the_test_part
from toolkit.errors import DataError

NAMES = ("temperature", "pressure")


def dataset_of(values, assets=None, **settings):
    return build_dataset(sensor_table(values, NAMES, assets), data_config("plant.csv", **settings))


def test_scaling_is_fitted_on_training_rows_only():
    values = wave(200)
    settings = {"borders": (100, 150, 200)}
    before = dataset_of(values, **settings)
    values[100:] = values[100:] * 7 + 1000
    after = dataset_of(values, **settings)
    assert torch.equal(before.mean, after.mean)
    assert torch.equal(before.std, after.std)
    assert np.array_equal(before.mean.numpy(), wave(200)[:100].mean(axis=0))
    assert np.array_equal(before.std.numpy(), wave(200)[:100].std(axis=0))
    assert before.train_rows.tolist() == [True] * 100 + [False] * 100


def test_a_window_is_followed_by_what_came_next():
    values = wave(100)
    data = dataset_of(values, targets=("pressure", "temperature"))
    x, y = data.gather(torch.tensor([3, 40]))
    assert x.shape == (2, 12, 2)
    assert y.shape == (2, 3, 2)
    assert np.array_equal(x[1].numpy(), values[40:52].astype(np.float32))
    assert np.array_equal(y[1].numpy(), values[52:55, ::-1].astype(np.float32))


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_leave_no_window_out_and_keep_the_order(batch_size):
    data = dataset_of(wave(150))
    whole_x, whole_y = data.gather(data.starts["test"])
    batches = list(data.batches("test", batch_size))
    assert torch.equal(torch.cat([x for x, _ in batches]), whole_x)
    assert torch.equal(torch.cat([y for _, y in batches]), whole_y)


def test_stride_thins_out_training_windows_alone():
    every, third = dataset_of(wave(150)), dataset_of(wave(150), stride=3)
    assert third.starts["train"].tolist() == every.starts["train"].tolist()[::3]
    for part in ("validation", "test"):
        assert torch.equal(third.starts[part], every.starts[part])


def test_no_window_holds_two_assets():
    assets = np.repeat([0, 1], 150)
    data = dataset_of(np.concatenate([wave(150), wave(150) + 1]), assets)
    for starts in data.starts.values():
        rows = starts.numpy()[:, None] + np.arange(15)
        assert (assets[rows] == assets[rows[:, :1]]).all()
        assert set(assets[rows[:, 0]]) == {0, 1}


@pytest.mark.parametrize("level", [0.0, 3.0, 101_325.0])
@pytest.mark.parametrize("wobble", [0.0, 1e-12])
def test_a_channel_that_float32_sees_as_constant_is_refused(level, wobble):
    values = wave(100)
    values[:, 1] = level * (1 + wobble * np.arange(100) % 2)
    with pytest.raises(
        DataError, match=r"the channel 'pressure' is constant over the training rows.*--exclude pressure"
    ):
        dataset_of(values)


def test_a_channel_that_varies_in_the_test_part_alone_is_constant():
    values = wave(100)
    values[:70, 1] = 3.0
    with pytest.raises(DataError, match="'pressure' is constant over the training rows; got standard deviation 0"):
        dataset_of(values)


@pytest.mark.parametrize(
    ("count", "split", "part"),
    [
        (14, (0.7, 0.15, 0.15), "train"),
        (20, (0.7, 0.15, 0.15), "train"),
        (40, (0.9, 0.05, 0.05), "validation"),
        (50, (0.8, 0.18, 0.02), "test"),
    ],
)
def test_a_part_without_a_window_is_named(count, split, part):
    with pytest.raises(DataError, match=f"plant.csv: the {part} part has no window.*window \\+ horizon = 15 rows"):
        dataset_of(wave(count), split=split)


@pytest.mark.parametrize(("length", "expected"), [(20, 20), (500, 42)])
def test_stretches_are_unbroken_rows_of_the_test_part(length, expected):
    data = dataset_of(wave(200))
    stretches = stretches_of_the_test_part(data, 4, length)
    assert stretches.shape == (4, expected, 2)
    first = int(data.starts["test"][0])
    for stretch in stretches:
        row = int((data.rows == stretch[0]).all(dim=1).nonzero()[0])
        assert row >= first
        assert torch.equal(stretch, data.rows[row : row + expected])
