"""ONNX models of every kind that the format knows, for tests of what reads them without the onnx package."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper, parser

NUMBERS = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16]
FLOAT8 = [TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ]
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FREE = ("sequence", "batch", 3)


def small_model(nodes=None, initializers=(), sparse=(), inputs=None, outputs=None, opset=18, ir=8, **options) -> bytes:
    made = helper.make_graph(
        nodes if nodes is not None else [helper.make_node("Relu", ["x"], ["y"])],
        "small",
        inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        outputs or [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        initializer=list(initializers),
        sparse_initializer=list(sparse),
    )
    imports = options.pop("opset_imports", [helper.make_opsetid("", opset)])
    proto = helper.make_model(made, opset_imports=imports, ir_version=ir, **options)
    helper.set_model_props(proto, {"unit": "degC", "name": "Prüfstand 7", "empty": ""})
    return proto.SerializeToString()


def every_initializer() -> bytes:
    """Each element type as `raw_data` and in its typed field, with the awkward numbers of each."""
    made = []
    for code in NUMBERS:
        dtype = helper.tensor_dtype_to_np_dtype(code)
        array = np.array([[0, 1, 2], [100, 7, 1]]).astype(dtype)
        if code not in (2, 4, 9, 12, 13):
            array[0, 0] = -1
        raw = numpy_helper.from_array(array, f"raw_{code}")
        typed = helper.make_tensor(f"typed_{code}", code, array.shape, array.astype(dtype).ravel())
        assert raw.HasField("raw_data")
        assert not typed.HasField("raw_data")
        made += [raw, typed]
    limits = np.array([-(1 << 63), (1 << 63) - 1])
    made.append(helper.make_tensor("limits", TensorProto.INT64, [2], limits))
    made.append(helper.make_tensor("unsigned", TensorProto.UINT64, [2], [0, (1 << 64) - 1]))
    made.append(TensorProto(name="text", data_type=TensorProto.STRING, dims=[2], string_data=[b"\xff\x00", b"ok"]))
    made += [helper.make_tensor("scalar", 1, [], [2.5]), helper.make_tensor("none", 1, [0, 3], [])]
    for code in (*FLOAT8, TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1):
        array = np.array([1.0, 0.5, 2.0]).astype(helper.tensor_dtype_to_np_dtype(code))
        made += [numpy_helper.from_array(array, f"narrow_{code}")]
    return small_model(initializers=made)


def every_type() -> bytes:
    t = helper
    float_type = t.make_tensor_type_proto(TensorProto.FLOAT, ["n", 2, None])
    types = {
        "unknown_rank": t.make_tensor_type_proto(TensorProto.INT64, None),
        "scalar": t.make_tensor_type_proto(TensorProto.DOUBLE, []),
        "sparse": t.make_sparse_tensor_type_proto(TensorProto.FLOAT, ["rows", 4]),
        "sequence": t.make_sequence_type_proto(float_type),
        "map": t.make_map_type_proto(TensorProto.INT64, float_type),
        "optional": t.make_optional_type_proto(t.make_sequence_type_proto(float_type)),
        "axes": float_type,
    }
    inputs = [t.make_value_info(name, kind) for name, kind in types.items()]
    inputs.append(onnx.ValueInfoProto(name="untyped"))
    opaque = onnx.ValueInfoProto(name="opaque")
    opaque.type.opaque_type.domain, opaque.type.opaque_type.name = "ai.example", "Thing"
    return small_model(inputs=[*inputs, opaque])


def every_attribute() -> bytes:
    body = helper.make_graph([helper.make_node("Neg", ["a"], ["b"], name="inner")], "body", [], [])
    weights = helper.make_tensor("w", 1, [2], [1.0, 2.0])
    places = helper.make_tensor("i", 7, [2], [0, 3])
    sparse_tensor = helper.make_sparse_tensor(weights, places, [4])
    settings_ = {
        "i": -7,
        "zero": 0,
        "ints": [1, -2, 1 << 40],
        "f": 0.5,
        "floats": [1.5, -2.5],
        "s": "text",
        "bytes": b"\xff\xfe",
        "strings": ["Sigmoid", "Tanh"],
        "t": weights,
        "tensors": [weights, places],
        "g": body,
        "graphs": [body, body],
        "sparse": sparse_tensor,
        "sparse_list": [sparse_tensor, sparse_tensor],
        "type": helper.make_tensor_type_proto(1, [2]),
    }
    nodes = [helper.make_node("Thing", ["x", "", "z"], ["y", ""], name="n", domain="ai.example", **settings_)]
    nodes[0].overload = "second"
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("ai.example", 3)]
    return small_model(nodes, opset_imports=imports, producer_name="tests", producer_version="7", model_version=-3)


def control_flow() -> bytes:
    return parser.parse_model(
        """
        <ir_version: 9, opset_import: ["" : 19], producer_name: "tests", domain: "d", model_version: 5>
        agraph (float[N, 3] x, bool cond, int64 trips) => (float[N, 3] y, float[N, 3] z)
        <float[3] w = {1, 2, 3}, float[1] late = {5}>
        {
            y = If (cond) <
                then_branch = yes () => (float[N, 3] a) <float[1] inside = {4}> { a = Add (x, inside) },
                else_branch = no () => (float[N, 3] b) {
                    b = If (cond) <
                        then_branch = inner () => (float[N, 3] c) { c = Neg (x) },
                        else_branch = other () => (float[N, 3] d) { d = Abs (x) }
                    >
                }
            >
            z = Loop (trips, cond, x) <
                body = step (int64 i, bool go, float[N, 3] v) => (bool on, float[N, 3] u) {
                    on = Identity (go)
                    u = Mul (v, w)
                }
            >
        }
        """
    ).SerializeToString()


def functions() -> bytes:
    return parser.parse_model(
        """
        <ir_version: 10, opset_import: ["" : 21, "local" : 1]>
        agraph (float[N] x) => (float[N] y) { y = local.scaled <alpha = 2.0> (x) }
        <domain: "local", opset_import: ["" : 21]>
        scaled <alpha, beta: float = 0.5> (a) => (b) {
            k = Constant <value_float: float = @alpha> ()
            m = Mul (a, k)
            b = Identity (m)
        }
        """
    ).SerializeToString()


def external(location: str = "../../etc/passwd") -> bytes:
    outside = TensorProto(name="outside", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location, "offset": "0", "length": "16"}.items():
        outside.external_data.add(key=key, value=text)
    return small_model(initializers=[outside])


def sparse_initializer() -> bytes:
    weights = helper.make_tensor("sw", TensorProto.FLOAT, [2], [1.0, 2.0])
    return small_model(sparse=[helper.make_sparse_tensor(weights, helper.make_tensor("at", 7, [2], [1, 5]), [2, 3])])


class Stateful(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4, 2, batch_first=True)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def torch_model(dynamo: bool) -> bytes:
    torch.manual_seed(0)
    file = io.BytesIO()
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    options = {"dynamic_shapes": (axes,)} if dynamo else {"dynamic_axes": {"x": {0: "batch", 1: "sequence"}}}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        args = (Stateful().eval(), (torch.ones(3, 5, 3),))
        made = torch.onnx.export(
            *args, None if dynamo else file, input_names=["x"], dynamo=dynamo, verbose=False, **options
        )
        return made.model_proto.SerializeToString() if dynamo else file.getvalue()


BUILDERS = (every_initializer, every_type, every_attribute, control_flow, functions, external, sparse_initializer)
MODELS = {builder.__name__: builder for builder in BUILDERS} | {
    "torch_legacy": lambda: torch_model(False),
    "torch_dynamo": lambda: torch_model(True),
    "reference_windowed": lambda: Path("exported/pump-station/windowed.onnx").read_bytes(),
    "reference_streaming": lambda: Path("exported/pump-station/streaming.onnx").read_bytes(),
    "probe": lambda: Path("toolkit/runtime/probe.onnx").read_bytes(),
}


def tensor_of(name: str, shape: tuple[int, ...], number: float = 0.5) -> TensorProto:
    return numpy_helper.from_array(np.full(shape, number, np.float32), name)


def recurrent(
    op="LSTM", *, x=FREE, y=("sequence", 1, "batch", 4), weights=None, state=(), before=(), hidden=4, **options
):
    """The bytes of a model of one recurrent layer: `x` -> `before` -> layer -> `y`, all of it as it should be."""
    gates = GATES[op]
    stored = {"W": (1, gates * 4, 3), "R": (1, gates * 4, 4), "B": (1, 8 * gates), **(weights or {})}
    if op == "GRU":
        options.setdefault("linear_before_reset", 1)
    inputs = [before[-1].output[0] if before else "x", "W", "R", "B", "", *(state and ["h0"])]
    # a state is stored, or comes in from outside
    given = state if isinstance(state, list) else []
    kept = [tensor_of(name, shape) for name, shape in stored.items()]
    kept += [tensor_of("h0", state)] if isinstance(state, tuple) and state else []
    node = helper.make_node(op, inputs, ["y"], name="layer", **({"hidden_size": hidden} if hidden else {}), **options)
    values = [helper.make_tensor_value_info("x", 1, x)]
    values += [helper.make_tensor_value_info("h0", 1, given)] if given else []
    return small_model([*before, node], kept, inputs=values, outputs=[helper.make_tensor_value_info("y", 1, y)])


def changed(content: bytes, change) -> bytes:
    proto = onnx.load_model_from_string(content)
    change(proto)
    return proto.SerializeToString()
