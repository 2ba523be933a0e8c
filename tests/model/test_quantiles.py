"""Quantiles rise whatever the weights and the readings, and the median among them is the forecast."""

import dataclasses

import numpy as np
import pytest
import torch

from toolkit.contract.graph_io import shape_from_spec, signature
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.records import decode, encode
from toolkit.errors import ModelError
from toolkit.export.graphs import export_graph
from toolkit.model import MultivariateLSTM
from toolkit.model.lstm import model_from_spec
from toolkit.model.quantiles import outward
from toolkit.runtime.session import SessionPolicy, create_session, run_session

LEVELS = (0.05, 0.25, 0.5, 0.9)
MEAN, STD = torch.tensor([101_325.0, 20.0, -3.0]), torch.tensor([50.0, 2.0, 0.1])
KINDS = {
    "plain": {},
    "every step, independent gru": {"head": "every", "channel_mixing": "independent", "cell": "gru"},
    "revin, patches, independent": {"normalisation": "revin", "patch_length": 4, "channel_mixing": "independent"},
    "last, both ways": {"normalisation": "last", "bidirectional": True},
}


def made(loudness=1.0, **options):
    torch.manual_seed(0)
    model = MultivariateLSTM(
        3, 8, horizon=4, targets=2, batch_first=True, target_channels=(2, 0), quantiles=LEVELS, **options
    )  # fmt: skip
    model.set_scaling(MEAN, STD, (2, 0))
    with torch.no_grad():
        model.head.weight.mul_(loudness)
    return model.eval()


def readings(batch=5):
    generator = torch.Generator().manual_seed(1)
    return MEAN + STD * torch.randn(batch, 12, 3, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loudness", [1.0, -1e4])
def test_quantiles_rise_and_the_median_is_the_forecast(kind, loudness):
    forecast, quantiles = made(loudness, **KINDS[kind])(readings(64))
    assert quantiles.shape == (*forecast.shape, 4)
    assert (quantiles.diff(dim=-1) >= 0).all()
    assert torch.equal(quantiles[..., 2], forecast)


def test_the_graph_s_median_is_its_forecast_too():
    content = export_graph(made(), "windowed").SerializeToString()
    names = ["forecast", "quantiles"]
    forecast, quantiles = run_session(create_session(content, SessionPolicy(), "x"), {"x": readings(64).numpy()}, names)
    np.testing.assert_array_equal(quantiles[..., 2], forecast)
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_steps_lead_outward_from_the_median():
    answers = torch.tensor([0.0, -1.0, 7.0, 2.0])
    softplus = np.log1p(np.exp([0.0, -1.0, 2.0]))
    wanted = [7 - softplus[1] - softplus[0], 7 - softplus[1], 7, 7 + softplus[2]]
    np.testing.assert_allclose(outward(answers, 2).numpy(), wanted, rtol=1e-6)


def test_a_stream_gives_the_quantiles_of_the_window():
    model, x = made(), readings()
    with torch.no_grad():
        forecast, quantiles, *_ = model.stream(x, *model.zero_state(5))
        wanted = model(x)
    assert quantiles.shape == (5, 12, 4, 2, 4)
    torch.testing.assert_close((forecast[:, -1], quantiles[:, -1]), wanted)


SPEC = ModelSpec(3, 8, 1, 4, 2, 12, quantiles=LEVELS)


def test_a_model_comes_back_from_its_spec_and_knows_its_graphs():
    model = model_from_spec(decode(ModelSpec, encode(SPEC), "here", ModelError))
    assert model.quantiles == LEVELS
    assert model.shape == shape_from_spec(SPEC)
    assert model.head.out_features == SPEC.output_size == 32
    assert signature("windowed", model.shape).output("quantiles").axes == ("batch", 4, 2, 4)
    streaming = signature("streaming", dataclasses.replace(model.shape, layout="time-major"))
    assert [tensor.name for tensor in streaming.outputs] == ["forecast", "quantiles", "hn", "cn"]
    assert streaming.output("quantiles").axes == ("sequence", "batch", 4, 2, 4)


def test_an_old_spec_has_none():
    old = encode(SPEC)
    del old["quantiles"]
    assert decode(ModelSpec, old, "here", ModelError).quantiles == ()


@pytest.mark.parametrize("quantiles", [(0.1, 0.9), (0.5,), (0.9, 0.5), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0)])
def test_quantiles_that_name_no_interval_around_the_median(quantiles):
    with pytest.raises(ModelError, match=r"two or more rising numbers strictly between 0 and 1, 0.5 among them"):
        dataclasses.replace(SPEC, quantiles=quantiles)


def test_what_has_no_forecast_has_no_quantiles():
    with pytest.raises(ModelError, match="quantiles lie around a forecast"):
        ModelSpec(3, 8, 1, 0, 0, 12, classes=3, quantiles=LEVELS)
    for size in ({"classes": 3}, {"output_size": 4}):
        with pytest.raises(ModelError, match="quantiles lie around a forecast"):
            MultivariateLSTM(3, 8, quantiles=LEVELS, **size)
