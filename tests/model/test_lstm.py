import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.contract.graph_io import ForecasterShape
from toolkit.contract.model_spec import ModelSpec
from toolkit.errors import InputError, ModelError
from toolkit.model import MultivariateLSTM, StreamingForecaster, model_from_spec

MEAN = torch.tensor([60.3, 101_325.37, 0.02], dtype=torch.float64)
STD = torch.tensor([5.1, 49.7, 0.003], dtype=torch.float64)
TEMPERATURE, PRESSURE = 0, 1


def forecaster(*, batch_first=True, targets=(TEMPERATURE, PRESSURE), num_layers=2):
    torch.manual_seed(0)
    model = MultivariateLSTM(3, 8, num_layers, horizon=4, targets=len(targets), batch_first=batch_first).eval()
    model.set_scaling(MEAN, STD, targets)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # as sensitive to its input as a trained model is
    return model


def readings(batch, sequence, seed=0):
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(batch, sequence, 3, generator=generator, dtype=torch.float64)
    return (MEAN + STD * normal).float()


def worst(first, second):
    return float((first - second).detach().abs().max())


def test_a_forecast_in_raw_units_equals_float64_to_a_hundred_thousandth_of_a_standard_deviation():
    model, x = forecaster(targets=(TEMPERATURE,), num_layers=1), readings(16, 40)
    exact = copy.deepcopy(model).double()
    assert worst(model(x), exact(x.double())) / float(STD[TEMPERATURE]) < 1e-5


def test_a_pressure_at_a_large_offset_is_right_before_unscaling_and_to_one_float32_step_after_it():
    model, x = forecaster(targets=(PRESSURE,), num_layers=1), readings(16, 40)
    exact = copy.deepcopy(model).double()
    assert worst(model.standardised(x), exact.standardised(x.double())) < 1e-5
    assert worst(model(x), exact(x.double())) <= 2**-7  # one float32 step between 65 536 and 131 072


def test_scaling_by_one_multiplication_first_would_not_be_right():
    model, x = forecaster(num_layers=1), readings(16, 40)
    exact = copy.deepcopy(model).double().standardised(x.double())
    bare = copy.deepcopy(model)
    bare.set_scaling(torch.zeros(3), torch.ones(3), [0, 1])
    naive = x * model.input_scale - model.input_offset * model.input_scale
    careful = (x - model.input_offset) * model.input_scale
    assert worst(bare.standardised(careful), exact) < 1e-6
    assert worst(bare.standardised(naive), exact) > 1e-5


def test_scaling_standardises_what_goes_in_and_gives_raw_units_back():
    model = forecaster()
    bare = copy.deepcopy(model)
    bare.set_scaling(torch.zeros(3), torch.ones(3), [0, 1])
    x = readings(4, 10)
    standard = ((x.double() - MEAN) / STD).float()
    assert worst(model.standardised(x), bare(standard)) < 1e-3  # the offsets themselves are rounded to float32
    expected = model.standardised(x).double() * STD[[0, 1]] + MEAN[[0, 1]]
    assert worst(model(x), expected) < 2**-6
    assert torch.equal(model.unscale(torch.zeros(1, 1, 2))[0, 0], MEAN[[0, 1]].float())


def test_scaling_follows_the_order_of_the_targets():
    model = forecaster(targets=(PRESSURE, TEMPERATURE))
    assert model.unscale(torch.ones(1, 1, 2))[0, 0].tolist() == pytest.approx([101_375.07, 65.4])


@pytest.mark.parametrize("num_layers", [1, 2])
def test_time_major_and_batch_major_agree(num_layers):
    rows, steps = (forecaster(batch_first=flag, num_layers=num_layers) for flag in (True, False))
    x, state = readings(3, 7), rows.zero_state(3)
    assert torch.equal(rows(x), steps(x.transpose(0, 1)))
    ours, theirs = rows.stream(x, *state), steps.stream(x.transpose(0, 1), *state)
    assert ours[0].shape == (3, 7, 4, 2)
    assert theirs[0].shape == (7, 3, 4, 2)
    assert torch.equal(ours[0], theirs[0].transpose(0, 1))
    assert torch.equal(torch.stack(ours[1:]), torch.stack(theirs[1:]))


@pytest.mark.parametrize("sequence", [1, 2, 30])
def test_the_stream_s_last_step_is_the_window_s_forecast(sequence):
    model, x = forecaster(), readings(5, sequence)
    forecast, hn, cn = model.stream(x, *model.zero_state(5))
    assert worst(forecast[:, -1], model(x)) <= 2**-7
    assert worst(model.stream_standardised(x, *model.zero_state(5))[0][:, -1], model.standardised(x)) < 1e-6
    assert hn.shape == cn.shape == (2, 5, 8)


@settings(deadline=None, max_examples=50)
@given(data=st.data(), batch=st.integers(1, 3), sequence=st.integers(1, 20), seed=st.integers(0, 99))
def test_a_stream_in_chunks_is_the_whole(data, batch, sequence, seed):
    model, x = forecaster(), readings(batch, sequence, seed)
    cuts = data.draw(st.lists(st.integers(1, max(sequence - 1, 1)), unique=True).map(sorted))
    whole, hn, cn = model.stream_standardised(x, *model.zero_state(batch))
    state, parts = model.zero_state(batch), []
    for chunk in torch.tensor_split(x, [cut for cut in cuts if cut < sequence], dim=1):
        part, *state = model.stream_standardised(chunk, *state)
        parts.append(part)
    assert worst(torch.cat(parts, dim=1), whole) < 1e-6
    assert max(worst(state[0], hn), worst(state[1], cn)) < 1e-6


def test_a_streaming_forecaster_answers_as_its_model_does():
    model, x = forecaster(), readings(2, 5)
    ours, theirs = StreamingForecaster(model)(x, *model.zero_state(2)), model.stream(x, *model.zero_state(2))
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("input_size", "hidden_size", "num_layers", "outputs"), [(9, 64, 2, 36), (1, 1, 1, 1)])
def test_parameters_are_those_of_the_four_gates_and_the_head(input_size, hidden_size, num_layers, outputs):
    model = MultivariateLSTM(input_size, hidden_size, num_layers, output_size=outputs)
    layers = [input_size] + [hidden_size] * (num_layers - 1)
    gates = sum(4 * hidden_size * (width + hidden_size + 2) for width in layers)
    assert sum(p.numel() for p in model.parameters()) == gates + (hidden_size + 1) * outputs


def test_scaling_is_saved_with_the_weights_and_not_trained():
    model = forecaster()
    assert {"input_offset", "input_scale", "output_offset", "output_scale"} <= model.state_dict().keys()
    assert not any("offset" in name or "scale" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("size", "shape"),
    [({"output_size": 6}, (2, 6)), ({"horizon": 3, "targets": 2}, (2, 3, 2))],
)
def test_the_forecast_has_the_shape_that_was_asked_for(size, shape):
    assert MultivariateLSTM(3, 8, **size)(torch.zeros(5, 2, 3)).shape == shape


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({}, "the size of the output is missing; fix: give output_size, or horizon and targets"),
        ({"horizon": 3}, "horizon and targets go together; got horizon=3, targets=None"),
        ({"horizon": 3, "targets": 2, "output_size": 5}, "output_size; got 5; allowed: horizon x targets = 6"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(size, words):
    with pytest.raises(ModelError, match=words):
        MultivariateLSTM(3, 8, **size)


@pytest.mark.parametrize("shape", [(7, 3), (3,), (1, 2, 7, 3), (2, 7, 4)])
def test_an_input_of_another_shape_is_refused(shape):
    model, x = forecaster(), torch.zeros(shape)
    for call in (model, model.standardised, lambda x: model.stream(x, *model.zero_state(2))):
        with pytest.raises(InputError, match=r"x has the wrong shape; got \[.*the last of 3 channels; fix: "):
            call(x)


@pytest.mark.parametrize("layout", ["batch-major", "time-major"])
def test_a_spec_builds_its_module(layout):
    spec = ModelSpec(9, 8, 2, horizon=12, targets=3, window_length=60, dropout=0.1, layout=layout)
    model = model_from_spec(spec)
    assert model.shape == ForecasterShape(9, 8, 2, (12, 3), layout)
    assert model.lstm.dropout == 0.1


def test_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    model, x = MultivariateLSTM(3, 8, 2, output_size=1, dropout=0.5), torch.randn(5, 2, 3)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_model_that_answers_every_step_is_scored_by_the_last_of_its_answers(cell, bidirectional):
    """Else a report would tell the errors of an answer that the exported graph never gives."""
    model = MultivariateLSTM(3, 4, 2, horizon=2, targets=1, head="every", cell=cell, bidirectional=bidirectional).eval()
    x = torch.randn(7, 5, 3)
    torch.testing.assert_close(model.unscale(model.last_standardised(x)), model(x)[-1], rtol=0, atol=0)
