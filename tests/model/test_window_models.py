"""Models that need their window, and models whose channels run by themselves."""

import dataclasses

import numpy as np
import pytest
import torch

from toolkit.contract.graph_io import graphs_of, shape_from_spec, signature
from toolkit.contract.model_spec import ModelSpec
from toolkit.errors import ModelError
from toolkit.model import MultivariateLSTM
from toolkit.model.lstm import model_from_spec
from toolkit.model.normalisation import EPSILON, WindowNormalisation, in_patches

MEAN, STD = torch.tensor([101_325.0, 20.0, -3.0]), torch.tensor([50.0, 2.0, 0.1])
TARGETS = (2, 0)


def made(**options):
    torch.manual_seed(0)
    model = MultivariateLSTM(
        3, 8, 2, horizon=4, targets=2, batch_first=True, target_channels=TARGETS, **options
    )  # fmt: skip
    model.set_scaling(MEAN, STD, TARGETS)
    return model.eval()


def readings(batch=2, sequence=12, seed=0):
    random = np.random.default_rng(seed)
    return MEAN + STD * torch.from_numpy(random.standard_normal((batch, sequence, 3))).float()


def test_normalisation_takes_each_series_own_level_and_spread():
    window = torch.randn(7, 2, 3)  # [sequence, batch, channels]
    last, level, spread = WindowNormalisation("last")(window)
    np.testing.assert_array_equal(last.numpy(), (window - window[-1]).numpy())
    assert spread is None
    np.testing.assert_array_equal(level.numpy(), window[-1].numpy())
    scaled, level, spread = WindowNormalisation("revin")(window)
    wanted = window.numpy()
    np.testing.assert_allclose(level.numpy(), wanted.mean(axis=0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(spread.numpy(), np.sqrt(wanted.var(axis=0) + EPSILON), rtol=1e-6)
    np.testing.assert_allclose((scaled * spread + level).numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert WindowNormalisation("none")(window) == (window, None, None)


def test_patches_hold_the_newest_samples_side_by_side():
    window = torch.arange(2 * 11 * 3).reshape(11, 2, 3).float()
    joint = in_patches(window, 4, independent=False)
    assert joint.shape == (2, 2, 12)
    np.testing.assert_array_equal(joint[0, 1].numpy(), window[3:7, 1].reshape(-1).numpy())
    single = in_patches(window, 4, independent=True)
    assert single.shape == (2, 6, 4)
    np.testing.assert_array_equal(single[1, 3 + 2].numpy(), window[7:11, 1, 2].numpy())
    np.testing.assert_array_equal(in_patches(window, 1, independent=True)[5, 4].numpy(), window[5, 1, 1:2].numpy())


@pytest.mark.parametrize("kind", ["last", "revin"])
@pytest.mark.parametrize("mixing", ["joint", "independent"])
def test_a_level_in_the_window_is_a_level_in_the_forecast(kind, mixing):
    model, x = made(normalisation=kind, channel_mixing=mixing), readings()
    step = torch.tensor([200.0, 8.0, 0.4])  # four standard deviations
    with torch.no_grad():
        moved = model(x + step) - model(x)
    np.testing.assert_allclose(moved.numpy(), np.broadcast_to(step[list(TARGETS)], moved.shape), rtol=1e-3)


def test_revin_follows_the_spread_of_the_window():
    model, x = made(normalisation="revin"), readings()
    centre = x.mean(dim=1, keepdim=True)
    with torch.no_grad():
        narrow, wide = (model(centre + (x - centre) * factor) - centre[..., list(TARGETS)] for factor in (1.0, 3.0))
    np.testing.assert_allclose(wide.numpy(), 3 * narrow.numpy(), rtol=2e-3, atol=1e-2)


@pytest.mark.parametrize("options", [{}, {"normalisation": "revin", "patch_length": 4}])
def test_an_independent_channel_sees_no_other(options):
    model, x = made(channel_mixing="independent", **options), readings()
    other = x.clone()
    other[..., 1] += 30.0  # no target
    other[..., 0] += 500.0  # the second target
    with torch.no_grad():
        before, after = model(x), model(other)
    np.testing.assert_array_equal(before[..., 0].numpy(), after[..., 0].numpy())
    assert (before[..., 1] - after[..., 1]).abs().max() > 1.0


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_independent_channels_stream_with_one_state_per_series(cell):
    model, x = made(channel_mixing="independent", cell=cell), readings(batch=3)
    state = model.zero_state(3)
    assert [tuple(each.shape) for each in state] == [(2, 3, 24)] * (2 if cell == "lstm" else 1)
    with torch.no_grad():
        whole = model(x)
        first, *state = model.stream(x[:, :5], *state)
        second, *state = model.stream(x[:, 5:], *state)
        alone, *_ = model.stream(
            x[1:2, 5:], *(each[:, 1:2] for each in model.stream(x[:, :5], *model.zero_state(3))[1:])
        )
    assert first.shape == (3, 5, 4, 2)
    torch.testing.assert_close(second[:, -1], whole)
    torch.testing.assert_close(alone, second[1:2])


def test_what_needs_its_window_does_not_stream():
    for options in ({"normalisation": "last"}, {"patch_length": 3}):
        model = made(**options)
        assert graphs_of(model.shape) == ("windowed",)
        with pytest.raises(ModelError, match="no streaming graph: it needs its whole window"):
            signature("streaming", model.shape)
        with pytest.raises(ModelError, match="cannot stream"):
            model.stream(readings(), *model.zero_state(2))


SPEC = ModelSpec(3, 8, 2, 4, 2, 12, target_channels=TARGETS)


def test_a_model_comes_back_from_its_spec():
    spec = dataclasses.replace(
        SPEC, normalisation="revin", patch_length=4, min_sequence=4, channel_mixing="independent", layout="batch-major"
    )
    model = model_from_spec(spec)
    assert model.shape == shape_from_spec(spec)
    assert model.target_channels == TARGETS
    model.load_state_dict(made(normalisation="revin", patch_length=4, channel_mixing="independent").state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalisation": "revin", "head": "every"}, "an answer after every step needs no window"),
        ({"patch_length": 3}, "min_sequence; got 1; allowed: a patch, 3"),
        ({"patch_length": 0}, "patch_length; got 0"),
        ({"target_channels": (0, 3)}, r"target_channels; got \[0, 3\]"),
        ({"target_channels": (0,)}, "target_channels"),
        ({"classes": 3, "horizon": 0, "targets": 0, "target_channels": (), "normalisation": "last"}, "a classifier"),
    ],
)
def test_specs_that_contradict_themselves(changes, message):
    with pytest.raises(ModelError, match=message):
        dataclasses.replace(SPEC, **changes)


def test_scaling_of_other_targets_than_the_models():
    model = made(normalisation="last")
    with pytest.raises(ModelError, match=r"target_channels; got \[2, 0\]; allowed: \[0, 2\]"):
        model.set_scaling(MEAN, STD, (0, 2))
