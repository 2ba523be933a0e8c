import collections
import dataclasses
import sys

import onnx
import pytest
import torch
from torch import Tensor, nn

from toolkit.contract.graph_io import TensorSpec
from toolkit.errors import ConfigError, ModelError
from toolkit.export.foreign_graph import foreign_graph, refuse_loops
from toolkit.export.graphs import example_sizes, export_torch_graph
from toolkit.export.input_spec import parse_tensor
from toolkit.export.lint import axes_of

X = "x: float32[batch, sequence, 4]"
LSTM_STATES = {"h0": "hn", "c0": "cn"}


class Calls(nn.Module):
    """An LSTM of 6 units; `answer(self, x, ...)` says what is made of its inputs."""

    def __init__(self, answer, **layers):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 2)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.answer = answer

    def forward(self, *inputs):
        return self.answer(self, *inputs)


def last(net, x):
    return net.head(net.lstm(x)[0][:, -1])


def described(module, *specs, outputs=(), states=None):
    return foreign_graph(module, [parse_tensor(text) for text in specs or (X,)], outputs, states)


def refused(module, *specs, match, error=ModelError, **names):
    with pytest.raises(error, match=match) as caught:
        described(module, *specs, **names)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_a_plain_module_is_a_windowed_graph():
    graph = described(Calls(last))
    assert graph.name == "windowed"
    assert graph.tensors.outputs == (TensorSpec("y", ("batch", 2)),)
    assert graph.limits.least == {}


Pair = collections.namedtuple("Pair", ["y", "hidden"])


@dataclasses.dataclass
class Forecast:
    y: Tensor
    hidden: Tensor
    nothing: None = None


PACKINGS = {
    "a tuple": lambda y, h: (y, h),
    "a list": lambda y, h: [y, h],
    "nested tuples": lambda y, h: ((y,), ((h,),)),
    "a dictionary": lambda y, h: {"y": y, "hidden": h},
    "a named tuple": Pair,
    "a dataclass": Forecast,
    "with nothing among it": lambda y, h: (y, None, h),
}


@pytest.mark.parametrize("packing", PACKINGS.values(), ids=list(PACKINGS))
def test_whatever_the_tensors_are_packed_in_they_come_in_their_order(packing):
    graph = described(Calls(lambda net, x: packing(last(net, x), net.lstm(x)[0])))
    assert graph.tensors.outputs == (TensorSpec("y0", ("batch", 2)), TensorSpec("y1", ("batch", "sequence", 6)))
    assert [tensor.shape for tensor in graph.module(torch.zeros(1, 5, 4))] == [(1, 2), (1, 5, 6)]


STATES = ("h0: float32[1, batch, 6]", "c0: float32[1, batch, 6]")


@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(4, 6, batch_first=True),
        Calls(lambda net, x, h, c: net.lstm(x, (h, c))),
        Calls(lambda net, x, state=None: net.lstm(x, state)),
    ],
    ids=["nn.LSTM", "one by one", "an argument that may be left out"],
)
def test_states_go_in_one_by_one_or_in_a_tuple(module):
    graph = described(module, X, *STATES, outputs=("y", "hn", "cn"), states=LSTM_STATES)
    assert graph.name == "streaming"
    assert graph.tensors.states == LSTM_STATES
    assert graph.tensors.output("cn").axes == (1, "batch", 6)
    x, h, c = torch.randn(2, 3, 4), torch.randn(1, 2, 6), torch.randn(1, 2, 6)
    layer = getattr(module, "lstm", module)
    wanted, (hn, cn) = layer(x, (h, c))
    for got, right in zip(graph.module(x, h, c), (wanted, hn, cn), strict=True):
        assert torch.equal(got, right)


def test_a_state_may_have_any_axes_and_stand_anywhere():
    def step(net, h, x):
        y, state = net.lstm(x, (h[None], torch.zeros_like(h)[None]))
        return state[0][0], y

    graph = described(Calls(step), "h: float32[B, 6]", "x: float32[B, T, 4]", outputs=("hn", "y"), states={"h": "hn"})
    assert graph.tensors.output("hn").axes == ("B", 6)
    assert [tensor.name for tensor in graph.tensors.answers] == ["y"]


def test_further_inputs_and_axes_of_any_name():
    def answer(net, x, static, known):
        return net.head(net.lstm(x)[0][:, -1] + static.sum(-1, keepdim=True)), known.cumsum(1)

    graph = described(
        Calls(answer), "x: float32[N, T, 4]", "static: float32[N, 3]", "known: float32[N, ahead, 2]", outputs=("y", "z")
    )
    assert graph.tensors.outputs == (TensorSpec("y", ("N", 2)), TensorSpec("z", ("N", "ahead", 2)))


@pytest.mark.parametrize(
    ("answer", "axes"),
    [
        (lambda net, x: nn.functional.pad(net.lstm(x)[0], (0, 0, 2, 0)), ("batch", "sequence + 2", 6)),
        (lambda net, x: x[:, 3:], ("batch", "sequence - 3", 4)),
        (lambda net, x: x[:, ::2], ("batch", "y_axis_1", 4)),
        (lambda net, x: net.lstm(x)[0][:, -3:], ("batch", "y_axis_1", 6)),  # one step of a window of one
        (lambda net, x: net.lstm(x)[0].flatten(0, 1), ("y_axis_0", 6)),
        (lambda net, x: net.lstm(x)[0].sum(), ()),
    ],
    ids=["two more", "three fewer", "every other", "the last three", "both in one", "none"],
)
def test_an_axis_that_follows_from_the_inputs(answer, axes):
    assert described(Calls(answer)).tensors.outputs[0].axes == axes


def test_more_axes_than_anybody_has():
    specs = [f"x{n}: float32[batch, axis{n}, 4]" for n in range(14)]
    graph = described(Calls(lambda net, *tensors: tuple(tensor * 2 for tensor in tensors)), *specs)
    assert [tensor.axes[1] for tensor in graph.tensors.outputs] == [f"axis{n}" for n in range(14)]


@pytest.mark.parametrize("kernel", [5, 40, 200])
def test_the_smallest_size_of_an_axis_is_found(kernel):
    def answer(net, x):
        return net.lstm(net.convolution(x.transpose(1, 2)).transpose(1, 2))[0]

    graph = described(Calls(answer, convolution=nn.Conv1d(4, 4, kernel)))
    assert graph.limits.least == {"sequence": kernel}
    assert graph.tensors.outputs[0].axes == ("batch", f"sequence - {kernel - 1}", 6)
    assert example_sizes(graph)["sequence"] > kernel + 1  # at its smallest one sample is left, which torch would bake


def test_a_size_whose_answer_is_no_number_is_too_small():
    graph = described(Calls(lambda net, x: last(net, x) / (x - x[:, :1]).sum((1, 2))[:, None]))
    assert graph.limits.least == {"sequence": 2}


def test_a_size_that_leaves_nothing_is_too_small():
    assert described(Calls(lambda net, x: x[:, 3:])).limits.least == {"sequence": 4}


def test_a_module_is_used_as_it_is_and_in_evaluation_mode():
    module = Calls(lambda net, x: 5 if net.training else net.dropout(last(net, x)), dropout=nn.Dropout(0.9)).train()
    weights = [weight.clone() for weight in module.parameters()]
    graph = described(module)
    assert not module.training
    assert graph.module.module is module
    assert all(torch.equal(a, b) for a, b in zip(weights, module.parameters(), strict=True))
    assert all(weight.requires_grad for weight in module.parameters())


def test_what_torch_compile_was_given_is_found():
    assert described(torch.compile(module := Calls(last), backend="eager")).module.module is module


ANSWERS = {
    "an int": (lambda net, x: 5, "something that no graph can; got int"),
    "a text among tensors": (lambda net, x: (x, "text"), "got str"),
    "a distribution": (lambda net, x: torch.distributions.Normal(x, 1.0), "got Normal"),
    "a class of its own": (lambda net, x: Forecast, "got type"),
    "a packed sequence": (
        lambda net, x: net.lstm(nn.utils.rnn.pack_padded_sequence(x, [x.shape[1]] * len(x), batch_first=True))[0],
        "got PackedSequence",
    ),
    "nothing": (lambda net, x: None, "gives no tensor"),
    "no tensor at all": (lambda net, x: ((), {}), "gives no tensor"),
    "whole numbers": (lambda net, x: last(net, x).argmax(-1), "another type; got int64; allowed: float32"),
    "half precision": (lambda net, x: last(net, x).half(), "got float16"),
    "double precision, second": (lambda net, x: (x, x.double()), "got float64"),
    "no axes for one series": (lambda net, x: last(net, x)[:, :1].squeeze(), r"number of axes.*squeeze\(-1\)"),
    "a tensor for each sample": (lambda net, x: list(x.unbind(1)), "how many tensors the module gives depends"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_no_graph_gives_is_refused(name):
    answer, match = ANSWERS[name]
    refused(Calls(answer), match=match)


def raising(net, x):
    raise ValueError("no\nluck today")


FAILURES = {
    "raises": (
        raising,
        r"does not run on x \[3, 29, 4\]; got ValueError: no luck today \(.*py:\d+\); fix: .*a number in --input",
    ),
    "leaves the process": (lambda net, x: sys.exit(3), "SystemExit"),
    "takes another argument": (lambda net, x, other: x, "TypeError.*fix: give an --input for each argument"),
    "takes multiples of 4": (
        lambda net, x: x.reshape(x.shape[0], x.shape[1] // 4, 4, 4).mean(2),
        r"does not run on x \[3, 29, 4\].*write it as a number in --input",
    ),
    "takes one length": (lambda net, x: x.flatten(1) @ torch.zeros(24 * 4, 2), "write it as a number in --input"),
    "needs four axes": (lambda net, x: nn.functional.conv2d(x, torch.zeros(1, 1, 1, 1)), "does not run"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_module_that_does_not_run_is_refused(name):
    answer, match = FAILURES[name]
    refused(Calls(answer), match=match)


def test_what_is_wrong_is_told_of_the_call_that_fits():
    """Not that it takes no tuple, which is tried as well."""
    refused(
        Calls(lambda net, x, h, c: raising(net, x)),
        X,
        *STATES,
        outputs=("y", "hn", "cn"),
        states=LSTM_STATES,
        match="ValueError: no luck",
    )


def test_wrong_channels_are_told():
    refused(nn.LSTM(4, 6, batch_first=True), "x: float32[batch, sequence, 5]", match="Expected 4, got 5")


def with_extra_state():
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"calls": 3}

    return Extra(4, 2)


MODULES = {
    "a projection": (lambda: nn.LSTM(4, 6, proj_size=3), "projection.*nn.Linear behind"),
    "half precision": (lambda: nn.LSTM(4, 6).half(), "another type; got float16.*fix: module.float()"),
    "double precision": (lambda: nn.LSTM(4, 6).double(), "got float64"),
    "no numbers": (lambda: nn.LSTM(4, 6, device="meta"), "'weight_ih_l0' has no numbers: it lies on the device meta"),
    "layers of no size yet": (
        lambda: nn.Sequential(nn.LazyLinear(3)),
        "size of the module's '0.weight' is not known yet.*call the module once",
    ),
    "a state that is no tensor": (with_extra_state, "more than tensors, at '_extra_state'"),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_cannot_be_compared_or_stored_is_refused(name):
    make, match = MODULES[name]
    refused(make(), match=match)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_refused():
    refused(torch.jit.script(nn.Linear(4, 2)), match="TorchScript.*scripted or traced from")


def streaming(*outputs, states):
    module = Calls(lambda net, x, h: (x, h, x.sum(1)))
    return lambda match, error: refused(
        module, X, "h: float32[1, batch, 6]", outputs=outputs, states=states, match=match, error=error
    )


NAMES = {
    "too few outputs": (("y", "hn"), {"h": "hn"}, "--output; got y, hn; allowed: 3 names", ConfigError),
    "too many outputs": (("y", "hn", "z", "a"), {"h": "hn"}, "allowed: 3 names", ConfigError),
    "an output twice": (("y", "hn", "y"), {"h": "hn"}, "--output; got y; allowed: .*each name once", ConfigError),
    "an output that is no name": (("y/1", "hn", "z"), {"h": "hn"}, "--output; got 'y/1'", ConfigError),
    "an output without a name": (("", "hn", "z"), {"h": "hn"}, "--output; got ''", ConfigError),
    "an input's name": (("x", "hn", "z"), {"h": "hn"}, "another name than the inputs have", ConfigError),
    "no such output": (("y", "hn", "z"), {"h": "cn"}, "--state; got h=cn; allowed: one of the outputs", ConfigError),
    "another shape": (
        ("y", "hn", "z"),
        {"h": "y"},
        r"h=y cannot be fed back; got \[batch, sequence, 4\]; allowed: \[1, batch, 6\]",
        ModelError,
    ),
    "every input a state": (("y", "hn", "z"), {"h": "hn", "x": "y"}, "one input that is no state", ConfigError),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_do_not_fit_are_refused(name):
    outputs, states, match, error = NAMES[name]
    streaming(*outputs, states=states)(match, error)


def test_nothing_but_states_is_refused():
    refused(
        nn.GRUCell(4, 6),
        "x: float32[batch, 4]",
        "h: float32[batch, 6]",
        outputs=("hn",),
        states={"h": "hn"},
        match="at least one output that is no state",
        error=ConfigError,
    )


def test_an_input_twice_is_refused():
    refused(Calls(last), X, X, match="--input; got x; allowed: .*each name once", error=ConfigError)


def test_no_input_is_refused():
    with pytest.raises(ConfigError, match="--input; got none"):
        foreign_graph(Calls(last), [])


def test_axes_stay_symbolic_under_their_names_in_the_file(monkeypatch):
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", True)  # torch.compile turns it off

    def answer(net, x, static):
        y = net.convolution(x.transpose(0, 1).transpose(1, 2)).transpose(1, 2)  # [N, time - 2, 4]
        spread = torch.distributions.Normal(y[:, -1], 1.0)  # looks at its numbers, unless it is kept from it
        return {"every": net.head(net.lstm(y)[0]), "mean": (static.mean(), spread.mean)}

    graph = described(
        Calls(answer, convolution=nn.Conv1d(4, 4, 3)),
        "E: float32[time, N, 4]",  # a name that means something to sympy
        "lambda: float32[N, class, 3]",  # words of Python
        outputs=("every", "mean", "I"),
    )
    assert graph.tensors.batch_axis == "N"
    proto = export_torch_graph(graph)
    onnx.checker.check_model(proto, full_check=True)
    assert [axes_of(value) for value in proto.graph.input] == [("time", "N", 4), ("N", "class", 3)]
    assert [axes_of(value) for value in proto.graph.output] == [("N", "time - 2", 2), (), ("N", 4)]
    assert torch.distributions.Distribution._validate_args


def looped(layer, step):
    def answer(net, x):
        return torch.stack([step(net, x[:, place]) for place in range(x.shape[1])], 1)

    return Calls(answer, layer=layer)


@pytest.mark.parametrize(
    ("layer", "step", "match"),
    [
        (
            nn.LSTMCell(4, 6),
            lambda net, x: net.layer(x)[0],
            "loop over LSTMCell .*; got 29 and 31 calls of layer; fix: use nn.LSTM, whose operator takes any length",
        ),
        (nn.GRUCell(4, 6), lambda net, x: net.layer(x), "loop over GRUCell .*fix: use nn.GRU,"),
        (nn.Linear(4, 6), lambda net, x: net.layer(x), "loop over Linear .*fix: call it once on the whole, or write"),
    ],
)
def test_a_loop_as_long_as_an_axis_is_refused_before_it_is_traced(layer, step, match):
    graph = described(looped(layer, step))
    with pytest.raises(ModelError, match=match):
        refuse_loops(graph)
    assert not any(module._forward_pre_hooks for module in graph.module.modules())


def test_a_loop_of_a_fixed_length_is_none():
    refuse_loops(described(looped(nn.LSTMCell(4, 6), lambda net, x: net.layer(x)[0]), "x: float32[batch, 7, 4]"))

    def smoothed(net, x):
        y = net.lstm(x)[0]
        for _ in range(5):
            y = net.layer(y)
        return y

    refuse_loops(described(Calls(smoothed, layer=nn.Linear(6, 6))))


def test_a_branch_is_no_loop():
    refuse_loops(described(Calls(lambda net, x: net.layer(x) if x.shape[1] > 30 else x * 1, layer=nn.Linear(4, 4))))


def test_a_module_that_keeps_its_state_is_told_to_take_it_as_an_input():
    def answer(net, x):
        y, net.h = net.lstm(x, getattr(net, "h", None))
        return y

    refused(Calls(answer), match=r"keeps a state between calls \(attribute 'h' changes\); fix: .*--state h0=hn")
