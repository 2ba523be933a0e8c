"""Somebody else's module, in Python: described, exported, checked, run, and checked again from its bundle."""

import shutil

import numpy as np
import onnx
import pytest
import tiny_bundles
import torch
from torch import nn

from toolkit.contract.signals import SignalSpec, channel_from_name
from toolkit.errors import BundleError, ConfigError, DataError, InputError, ModelError, ParityError
from toolkit.export.graphs import export_torch_graph
from toolkit.export.input_spec import parse_tensor
from toolkit.export.lint import axes_of
from toolkit.parity.bundle import check_bundle
from toolkit.parity.grid import ParityGrid
from toolkit.parity.told import raise_if_failed
from toolkit.release import Options, build_material, material_of_module, material_of_run
from toolkit.release.held_out import Readings
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import check_golden

GRID = ParityGrid((1, 2, 4), (1, 2, 11), (5, 0))


class Convolved(nn.Module):
    """A convolution over five samples, an LSTM, a forecast of three samples of two targets, and static features."""

    def __init__(self):
        super().__init__()
        self.convolution, self.lstm = nn.Conv1d(4, 4, 5), nn.LSTM(4, 6, batch_first=True)
        self.static, self.head = nn.Linear(3, 6), nn.Linear(6, 6)
        self.register_buffer("offset", torch.arange(4.0))

    def forward(self, x, static):
        y = self.convolution((x - self.offset).transpose(1, 2)).transpose(1, 2)  # [batch, sequence - 4, 4]
        hidden = self.lstm(y)[0][:, -1] + self.static(static)
        return {"forecast": self.head(hidden).reshape(-1, 3, 2), "inner": y}


def seeded(make):
    torch.manual_seed(0)
    return make()


CONVOLVED = [parse_tensor("x: float32[N, time, 4]"), parse_tensor("static: float32[N, 3]")]
STREAM = [parse_tensor(f"{text}]") for text in ("x: float32[N, T, 4", "h0: float32[2, N, 6", "c0: float32[2, N, 6")]


def lstm():
    return nn.LSTM(4, 6, 2, batch_first=True)


def streaming(module):
    return material_of_module(
        module, STREAM, ("y", "hn", "cn"), {"h0": "hn", "c0": "cn"}, window_length=6, made_from="nets:lstm"
    )


@pytest.fixture(scope="module")
def convolved():
    return seeded(Convolved).eval()


@pytest.fixture(scope="module")
def windowed_bundle(convolved, tmp_path_factory):
    def material():
        return material_of_module(convolved, CONVOLVED, ("forecast", "inner"), window_length=8)

    return build_material(material, tmp_path_factory.mktemp("foreign") / "convolved", Options(opset=20)).folder


@pytest.fixture(scope="module")
def streaming_bundle(tmp_path_factory):
    out = tmp_path_factory.mktemp("foreign") / "lstm"
    return build_material(lambda: streaming(seeded(lstm)), out, Options(servers=("triton", "ort"))).folder


def random(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_what_a_bundle_says_of_somebody_elses_module(windowed_bundle):
    manifest = load_bundle(windowed_bundle).manifest
    (entry,) = manifest.graphs
    assert (manifest.model, manifest.signal, manifest.accuracy, manifest.window_length) == (None, None, {}, 8)
    assert (manifest.opset, manifest.minimum_onnxruntime) == (20, "1.17")
    assert manifest.provenance["module"] == "Convolved"
    assert "torch" in manifest.provenance["versions"]
    assert entry.min_sizes == {"time": 5}
    assert [tensor.axes for tensor in entry.outputs] == [("N", 3, 2), ("N", "time - 4", 4)]
    proto = onnx.load(windowed_bundle / entry.file)
    assert [axes_of(value) for value in (*proto.graph.input, *proto.graph.output)] == [
        tensor.axes for tensor in (*entry.inputs, *entry.outputs)
    ]
    assert {path.name for path in windowed_bundle.iterdir()} == {
        "manifest.json",
        "README.md",
        "golden.npz",
        "windowed.onnx",
        "weights.safetensors",
    }
    check_golden(load_bundle(windowed_bundle))


@pytest.mark.parametrize(("batch", "time"), [(1, 5), (1, 100), (9, 6)])
def test_it_answers_as_the_module_does_in_other_shapes(batch, time, windowed_bundle, convolved):
    x, static = random(batch, time, 4), random(batch, 3)
    with torch.no_grad():
        wanted = convolved(torch.from_numpy(x), torch.from_numpy(static))["forecast"].numpy()
    got = load_bundle(windowed_bundle).windowed().predict(x, static=static)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_what_is_too_short_or_missing_is_refused(windowed_bundle):
    predictor = load_bundle(windowed_bundle).windowed()
    with pytest.raises(InputError, match="x is too short; got time 4; allowed: 5 or more"):
        predictor.predict(random(2, 4, 4), static=random(2, 3))
    with pytest.raises(InputError, match="the inputs lack static; allowed: x, static"):
        predictor.predict(random(2, 8, 4))
    with pytest.raises(InputError, match="different sizes of N; got 2 and 3"):
        predictor.predict(random(2, 8, 4), static=random(3, 3))


def test_a_stream_carries_its_state(streaming_bundle):
    module, x = seeded(lstm), random(3, 10, 4)
    with torch.no_grad():
        wanted, (hn, cn) = module(torch.from_numpy(x))
    predictor = load_bundle(streaming_bundle).streaming()
    first, state = predictor.advance(x[:, :7].copy(), predictor.zero_state(3))
    second, state = predictor.advance(x[:, 7:].copy(), state)
    np.testing.assert_allclose(np.concatenate([first, second], 1), wanted.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state["h0"], hn.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state["c0"], cn.numpy(), rtol=1e-5, atol=1e-6)


def test_other_servers_files_of_a_foreign_stream(streaming_bundle):
    text = (streaming_bundle / "streaming.config.pbtxt").read_text()
    assert all(
        f'input_name: "{given}"' in text and f'output_name: "{new}"' in text
        for given, new in (("h0", "hn"), ("c0", "cn"))
    )
    assert (streaming_bundle / "streaming.ort").stat().st_size > 0


def test_parity_repeats_from_the_bundle_whatever_weights_the_module_has(streaming_bundle, windowed_bundle):
    """The bundle's weights are what it is judged by; the module gives its code alone."""
    for folder, make in ((streaming_bundle, lstm), (windowed_bundle, Convolved)):
        torch.manual_seed(7)
        report = check_bundle(load_bundle(folder), GRID, module=make())
        assert report.passed
        assert report.unit == ""


def test_parity_fails_where_the_graph_holds_other_weights(streaming_bundle, tmp_path):
    folder = shutil.copytree(streaming_bundle, tmp_path / "lstm")
    tiny_bundles.damage_graph(folder, "streaming", tiny_bundles.change_weights("W_l1", lambda array: array * 1.001))
    report = check_bundle(load_bundle(folder), GRID, module=lstm())
    with pytest.raises(ParityError, match="parts first in y") as caught:
        raise_if_failed(report)
    assert caught.value.exit_status == 1


def test_parity_needs_the_module_and_the_right_one(streaming_bundle, whole):
    bundle = load_bundle(streaming_bundle)
    with pytest.raises(BundleError, match="which is not in it; fix: name what builds it: --module"):
        check_bundle(bundle, GRID)
    with pytest.raises(ModelError, match=r"does not fit the model at 'bias_hh_l1'; got float32.*nothing"):
        check_bundle(bundle, GRID, module=nn.LSTM(4, 6, batch_first=True))
    with pytest.raises(ModelError, match="does not run"):
        check_bundle(bundle, GRID, module=nn.LSTM(4, 6, 2))  # the same weights, another order of axes
    with pytest.raises(ModelError, match="holds its own module; fix: leave --module out"):
        check_bundle(load_bundle(whole), GRID, module=lstm())


SIGNAL = SignalSpec(tuple(map(channel_from_name, "abcd")), ("a", "c"), 60.0)
READINGS = Readings(np.random.default_rng(0).standard_normal((120, 4)).astype(np.float32), np.zeros(120, np.int64))


class Head(nn.Module):
    """An LSTM whose last step is made into an answer of these axes."""

    def __init__(self, *sizes):
        super().__init__()
        self.lstm, self.sizes = nn.LSTM(4, int(np.prod(sizes)), batch_first=True), sizes

    def forward(self, x):
        return self.lstm(x)[0][:, -1].reshape(-1, *self.sizes)


def described(module, spec="x: float32[batch, sequence, 4]", **given):
    return material_of_module(module, [parse_tensor(spec)], window_length=8, **given)


def test_a_signal_makes_it_a_bundle_for_a_gateway(exporting, tmp_path):
    material = described(Head(3, 2), signal=SIGNAL, readings=READINGS, made_from="nets:head")
    proto = export_torch_graph(material.graphs["windowed"], material.metadata("windowed"))
    exporting({"windowed": proto})
    folder = build_material(lambda: material, tmp_path / "head", Options()).folder
    bundle = load_bundle(folder)
    assert bundle.manifest.signal == SIGNAL
    assert (folder / "samples.safetensors").exists()
    assert check_bundle(bundle, GRID, module=Head(3, 2)).passed
    card = (folder / "README.md").read_text()
    assert "Made from `nets:head`" in card
    assert "| `c` |" in card
    assert "no gateway" not in card


@pytest.mark.parametrize(("sizes", "horizon"), [((3, 2), 3), ((2,), 1), ((3, 3), None), ((5,), None)])
def test_readings_are_held_out_where_the_answer_forecasts_the_targets(sizes, horizon):
    material = described(Head(*sizes), signal=SIGNAL, readings=READINGS)
    assert material.samples.shape == (4, 64, 4)
    if horizon is None:
        assert material.held_out is None
    else:
        assert material.held_out.x.shape[1:] == (8, 4)
        assert material.held_out.y.shape[1:] == (horizon, 2)


def test_readings_without_a_whole_window_are_refused():
    few = Readings(READINGS.values[:9], READINGS.segments[:9])
    with pytest.raises(DataError, match="no unbroken series holds a window; got 9 rows; allowed: 11"):
        described(Head(3, 2), signal=SIGNAL, readings=few)


def test_without_readings_or_a_signal_there_are_no_samples():
    material = described(Head(2), signal=SIGNAL)
    assert (material.samples, material.held_out) == (None, None)
    assert described(Head(2)).signal is None


def several(net_inputs):
    class Several(nn.Module):
        def forward(self, *inputs):
            return inputs[0] * 2

    return material_of_module(Several(), [parse_tensor(text) for text in net_inputs], signal=SIGNAL)


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        (["x: float32[batch, sequence, 5]"], "--signal names other channels than x .*; got 4; allowed: 5"),
        (["x: float32[batch, 4]"], "no gateway can feed the windowed graph; got x"),
        (["x: float32[batch, 10, 4]"], "no gateway can feed"),
        (["x: float32[batch, sequence, channels]"], "no gateway can feed"),
        (["x: float32[batch, sequence, 4]", "z: float32[batch, 4]"], "no gateway can feed"),
    ],
)
def test_a_signal_that_contradicts_the_inputs_is_refused(inputs, match):
    with pytest.raises(ConfigError, match=match) as caught:
        several(inputs)
    assert "\n" not in str(caught.value)


def test_a_module_is_left_as_it_was(convolved, windowed_bundle):
    same = seeded(Convolved).state_dict()
    assert all(torch.equal(same[name], tensor) for name, tensor in convolved.state_dict().items())
    assert all(weight.requires_grad for weight in convolved.parameters())
    assert type(convolved.lstm) is nn.LSTM


def test_a_run_brings_its_held_out_windows(run):
    material = material_of_run(run)
    spec = run.record.model
    assert material.held_out.x.shape[1:] == (spec.window_length, 2)
    assert material.held_out.y.shape[1:] == (spec.horizon, 2)
    assert material.held_out.targets == ("pressure", "temperature")


def test_answers_that_are_no_numbers_leave_no_bundle(tmp_path):
    """A tolerance that torch's own NaN widened would let every graph pass."""

    class Logarithm(nn.Module):
        def forward(self, x):
            return x.log()

    with pytest.raises(ParityError, match="torch itself gives NaN or infinity here"):
        build_material(lambda: described(Logarithm()), tmp_path / "log", Options())
    assert list(tmp_path.iterdir()) == []
