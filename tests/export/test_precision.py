import logging

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from recurrent_graphs import CHANNELS, HIDDEN, changed, float_value, numpy_arrays, recurrent

from toolkit.contract.graph_io import STANDARDISED
from toolkit.errors import GateError, ModelError
from toolkit.export import export_graph, precision
from toolkit.export.precision import FP16_OPERATORS, INT8_DOMAIN, INT8_OPERATORS, to_fp16, to_int8
from toolkit.export.quantised_lint import INT8_LIMIT, halvable, quantisation_problems

MATRICES = ("head.weight", "W0", "R0", "W1", "R1")


def session(proto, config=(), **settings):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for name, value in settings.items():
        setattr(options, name, value)
    for name, value in config:
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def standardised(proto, batch=1, sequence=20, seed=1):
    """The answer in standard deviations, on readings that are standardised ones after scaling."""
    generator = np.random.default_rng(seed)
    arrays = numpy_arrays(proto)
    z = generator.normal(size=(sequence, batch, CHANNELS))
    feed = {"x": (z / arrays["input_scale"] + arrays["input_offset"]).astype(np.float32)}
    for value in proto.graph.input[1:]:
        directions = value.type.tensor_type.shape.dim[0].dim_value
        feed[value.name] = np.tanh(generator.normal(size=(directions, batch, HIDDEN))).astype(np.float32)
    return session(proto).run([STANDARDISED], feed)[0]


def operators(proto):
    return [node.op_type for node in proto.graph.node]


@pytest.fixture(scope="module")
def two_layers():
    return recurrent(layers=2)


@pytest.fixture(scope="module")
def int8(two_layers):
    return to_int8(two_layers, "windowed")


@pytest.fixture(scope="module")
def fp16(two_layers):
    return to_fp16(two_layers)


@pytest.fixture(scope="module")
def exported(forecaster):
    return export_graph(forecaster(num_layers=2, hidden_size=32), "windowed", {"graph": "windowed"})


SHAPES = pytest.mark.parametrize(
    "shape",
    [
        {"layers": 2},
        {"layers": 2, "states": True},
        {"layers": 2, "directions": 2},
        {"layers": 2, "directions": 2, "states": True},
        {"layers": 2, "shared": True},
    ],
    ids=lambda shape: " ".join(map(str, shape)),
)


@SHAPES
def test_int8_of_any_lstm_answers_as_the_original_does(shape):
    proto = recurrent(**shape)
    smaller = to_int8(proto, "windowed")
    assert operators(smaller).count("DynamicQuantizeLSTM") == 2
    assert "LSTM" not in operators(smaller)
    onnx.checker.check_model(smaller, full_check=True)
    for sequence in (1, 20):
        error = np.abs(standardised(smaller, sequence=sequence) - standardised(proto, sequence=sequence))
        assert 0 < error.max() < 0.01


def test_int8_keeps_everything_but_the_layers(two_layers, int8):
    for field in ("ir_version", "producer_name", "producer_version", "metadata_props"):
        assert getattr(int8, field) == getattr(two_layers, field)
    for field in ("input", "output", "value_info", "name"):
        assert getattr(int8.graph, field) == getattr(two_layers.graph, field)
    assert [(entry.domain, entry.version) for entry in int8.opset_import] == [("", 18), (INT8_DOMAIN, 1)]
    others = [node for node in int8.graph.node if node.op_type not in INT8_OPERATORS]
    assert others == [node for node in two_layers.graph.node if node.op_type != "LSTM"]
    assert {node.domain for node in int8.graph.node if node not in others} == {INT8_DOMAIN}


def test_an_exported_graph_gets_smaller_and_tells_nothing_of_this_machine(exported):
    before = exported.SerializeToString()
    int8, fp16 = to_int8(exported, "windowed"), to_fp16(exported)
    assert exported.SerializeToString() == before
    assert len(int8.SerializeToString()) < 0.4 * len(before)
    assert len(fp16.SerializeToString()) < 0.6 * len(before)
    for proto in (int8, fp16):
        assert proto.metadata_props == exported.metadata_props
        assert any(STANDARDISED in node.output for node in proto.graph.node)
        onnx.checker.check_model(proto, full_check=True)
        for trace in (b"/tmp", b"ort.quant", b"layer.onnx", b"onnxruntime"):
            assert trace not in proto.SerializeToString()


def test_the_same_graph_gives_the_same_bytes(two_layers, int8, fp16):
    assert to_int8(two_layers, "windowed").SerializeToString() == int8.SerializeToString()
    assert to_fp16(two_layers).SerializeToString() == fp16.SerializeToString()


def test_the_quantiser_says_nothing(two_layers, capfd, caplog):
    handlers = list(logging.getLogger().handlers)
    to_int8(two_layers, "windowed")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.getLogger().handlers == handlers


def test_weights_that_two_layers_share_are_stored_once():
    smaller = to_int8(recurrent(layers=2, shared=True), "windowed")
    assert [tensor.data_type for tensor in smaller.graph.initializer].count(TensorProto.INT8) == 4  # W, R, zero points


def test_a_weight_that_is_used_elsewhere_as_well_stays_for_that_use():
    proto = recurrent()
    proto.graph.node.append(helper.make_node("ReduceMax", ["W0"], ["peak"]))
    proto.graph.output.append(float_value("peak", 1, 1, 1))
    smaller = to_int8(proto, "windowed")
    assert np.array_equal(numpy_arrays(smaller)["W0"], numpy_arrays(proto)["W0"])
    assert not quantisation_problems(proto, smaller)


def test_whole_numbers_leave_a_bit_for_processors_without_vnni(two_layers, int8):
    numbers = [array for array in numpy_arrays(int8).values() if array.dtype == np.int8]
    assert max(np.abs(array.astype(int)).max() for array in numbers) == INT8_LIMIT
    # onnxruntime's own remedy for saturation changes nothing, because there is none
    exact = session(int8, [("session.x64quantprecision", "1")])
    x = np.random.default_rng(0).normal(size=(20, 1, CHANNELS)).astype(np.float32)
    assert np.array_equal(session(int8).run(None, {"x": x})[0], exact.run(None, {"x": x})[0])


def test_int8_answers_depend_on_the_batch_which_is_why_series_are_run_one_by_one(two_layers, int8, fp16):
    x = np.random.default_rng(0).normal(size=(20, 2, CHANNELS)).astype(np.float32)
    loud = x.copy()
    loud[:, 1] *= 1000
    for proto, depends in ((two_layers, False), (fp16, False), (int8, True)):
        quiet, beside = (session(proto).run([STANDARDISED], {"x": data})[0][0] for data in (x, loud))
        assert (np.abs(quiet - beside).max() > 1e-3) == depends


@pytest.mark.parametrize("operator", ["GRU", "RNN"])
def test_int8_of_another_recurrent_layer_is_refused(operator):
    with pytest.raises(ModelError, match=rf"int8 of an? {operator} is refused: onnxruntime leaves it in floating") as e:
        to_int8(recurrent(operator=operator), "windowed")
    assert "\n" not in str(e.value)


def test_int8_of_a_graph_without_an_lstm_is_refused(int8):
    with pytest.raises(ModelError, match="int8 of the streaming graph is refused; got no LSTM"):
        to_int8(int8, "streaming")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_int8_has_no_numbers_for_are_refused(two_layers, value):
    proto = changed(two_layers, "R1", lambda array: np.full_like(array, value))
    with pytest.raises(ModelError, match="the weights R1 hold NaN or infinity"):
        to_int8(proto, "windowed")


def test_a_layer_of_zeros_is_no_trouble(two_layers):
    proto = changed(two_layers, "R1", np.zeros_like)
    assert quantisation_problems(proto, to_int8(proto, "windowed")) == ()


def computed(proto):
    proto.graph.node.insert(0, helper.make_node("Identity", ["W1"], ["computed"]))
    next(node for node in proto.graph.node if node.name == "layer1").input[1] = "computed"


def fed(proto):
    proto.graph.input.append(float_value("W1", 1, 4 * HIDDEN, HIDDEN))


def double(proto):
    weights = next(tensor for tensor in proto.graph.initializer if tensor.name == "W1")
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights).astype(np.float64), "W1"))


@pytest.mark.parametrize("change", [computed, fed, double])
def test_an_lstm_whose_weights_are_no_float32_constants_is_not_let_out(two_layers, change):
    proto = onnx.ModelProto.FromString(two_layers.SerializeToString())
    change(proto)
    with pytest.raises(GateError, match="LSTM layer1 is still in floating point"):
        to_int8(proto, "windowed")


def test_a_layout_that_the_quantiser_drops_is_not_let_out(two_layers):
    proto = onnx.ModelProto.FromString(two_layers.SerializeToString())
    next(node for node in proto.graph.node if node.name == "layer1").attribute.add(name="layout", type=2, i=1)
    with pytest.raises(GateError, match="DynamicQuantizeLSTM layer1_quant is not the float32 graph's LSTM layer1"):
        to_int8(proto, "windowed")


@pytest.mark.parametrize(("make", "taken"), [(to_fp16, "W0_half"), (lambda p: to_int8(p, "g"), "W0_scale")])
def test_a_name_that_is_taken_is_refused(make, taken):
    proto = recurrent()
    proto.graph.node.append(helper.make_node("Identity", ["forecast"], [taken]))
    with pytest.raises(ModelError, match=f"taken; got {taken}"):
        make(proto)


def test_halves_are_cast_back_and_the_casts_folded_when_loaded(two_layers, fp16, tmp_path):
    assert [node.op_type for node in fp16.graph.node][:5] == ["Cast"] * 5
    assert set(operators(fp16)) - set(operators(two_layers)) == FP16_OPERATORS
    path = tmp_path / "optimised.onnx"
    session(
        fp16,
        optimized_model_filepath=str(path),
        graph_optimization_level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    )
    assert "Cast" not in operators(onnx.load(path))
    error = np.abs(standardised(fp16) - standardised(two_layers)).max()
    assert 0 < error < 1e-3


def test_halves_that_are_not_the_nearest_are_not_let_out(two_layers, monkeypatch):
    def above(tensor):
        values = numpy_helper.to_array(tensor).astype(np.float16)
        return numpy_helper.from_array(np.nextafter(values, np.float16(9)), f"{tensor.name}_half")

    monkeypatch.setattr(precision, "_half", above)
    with pytest.raises(GateError, match=r"head.weight_half: 64 of 64 numbers are not the nearest .* \(and 4 more\)"):
        to_fp16(two_layers)


def test_only_matrices_are_stored_in_half(two_layers, fp16):
    assert halvable(two_layers) == MATRICES
    arrays, before = numpy_arrays(fp16), numpy_arrays(two_layers)
    for name in ("input_offset", "input_scale", "output_offset", "output_scale", "B0", "B1", "head.bias"):
        assert arrays[name].tobytes() == before[name].tobytes()
    for name in halvable(two_layers):
        assert np.array_equal(arrays[f"{name}_half"], before[name].astype(np.float16))


@pytest.mark.parametrize("operator", ["GRU", "RNN"])
def test_fp16_takes_every_recurrent_layer(operator):
    proto = recurrent(operator=operator, layers=2)
    assert halvable(proto) == MATRICES
    assert np.abs(standardised(to_fp16(proto)) - standardised(proto)).max() < 1e-3


def test_a_graph_of_which_nothing_can_be_stored_in_half_is_refused():
    proto = recurrent()
    for name in halvable(proto):
        proto = changed(proto, name, lambda array: array * np.float32(1e-8))
    with pytest.raises(ModelError, match="no weight of the graph can be stored in half precision"):
        to_fp16(proto)
