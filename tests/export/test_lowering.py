import warnings

import pytest
import torch
from torch import nn

from toolkit.errors import InputError, ModelError
from toolkit.export import lower
from toolkit.export.lowering import is_lowered

KINDS = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "tanh": nn.RNN,
    "relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}
CHANNELS, HIDDEN = 3, 4
SHAPES = ((1, 1), (2, 5), (7, 40))
"""(batch, sequence), none of them the example's."""

ROWS = {
    "lstm": [(1, False, True, True), (2, True, False, True), (3, False, False, False), (3, True, True, False)],
    "gru": [(1, True, False, True), (2, False, True, False), (3, True, True, True)],
    "tanh": [(1, False, True, False), (2, True, False, False), (3, False, False, True)],
    "relu": [(1, True, True, False), (2, False, False, True), (3, True, False, False)],
}
"""(layers, bidirectional, bias, batch first) for each kind: every pair of values is met. State is met in each row."""
CASES = [(kind, *row) for kind, rows in ROWS.items() for row in rows]


class Around(nn.Module):
    """A layer that is called without and with a state; plain tuples in and out."""

    def __init__(self, kind, num_layers, bidirectional, bias, batch_first):
        super().__init__()
        self.is_lstm = kind == "lstm"
        self.layer = KINDS[kind](
            CHANNELS, HIDDEN, num_layers, bidirectional=bidirectional, bias=bias, batch_first=batch_first
        )

    def forward(self, x, *state):
        tensors = []
        for outputs, last in (self.layer(x), self.layer(x, state if self.is_lstm else state[0])):
            tensors += [outputs, *(last if self.is_lstm else (last,))]
        return tuple(tensors)

    def inputs(self, batch, sequence):
        """`x` and the states of one shape, random."""
        layer = self.layer
        generator = torch.Generator().manual_seed(100 * batch + sequence)
        leading = (batch, sequence) if layer.batch_first else (sequence, batch)
        number = layer.num_layers * (2 if layer.bidirectional else 1)
        state = torch.randn((2, number, batch, HIDDEN), generator=generator)
        return torch.randn((*leading, CHANNELS), generator=generator), *state[: 2 if self.is_lstm else 1]


def export(module, inputs, batch_first):
    """The lowered module as a graph whose batch and sequence are dynamic."""
    batch, sequence = (torch.export.Dim(name, min=1) for name in ("batch", "sequence"))
    dynamic = ({0: batch, 1: sequence} if batch_first else {0: sequence, 1: batch}, *[{1: batch}] * (len(inputs) - 1))
    lowered = lower(module)
    arguments = (dynamic[0], dynamic[1:]) if isinstance(lowered, Around) else dynamic
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch warns of its own deprecations
        program = torch.onnx.export(
            lowered, inputs, dynamo=True, dynamic_shapes=arguments, opset_version=18, verbose=False
        )
    return program.model_proto


def assert_equal(got, wanted):
    for place, (mine, exact) in enumerate(zip(got, wanted, strict=True)):
        torch.testing.assert_close(mine, exact, rtol=0, atol=2e-6, msg=lambda m, p=place: f"output {p}: {m}")


@pytest.mark.parametrize(("kind", "num_layers", "bidirectional", "bias", "batch_first"), CASES)
def test_a_lowered_layer_equals_torch_at_other_shapes(kind, num_layers, bidirectional, bias, batch_first, run_graph):
    torch.manual_seed(1)
    module = Around(kind, num_layers, bidirectional, bias, batch_first).eval()
    proto = export(module, module.inputs(3, 29), batch_first)
    for batch, sequence in SHAPES:
        inputs = module.inputs(batch, sequence)
        with torch.no_grad():
            assert_equal(run_graph(proto, *inputs), module(*inputs))


class Siblings(nn.Module):
    """One layer under two names, and one deep inside."""

    def __init__(self):
        super().__init__()
        self.first = self.second = nn.LSTM(CHANNELS, CHANNELS)
        self.deep = nn.Sequential(nn.Identity(), nn.ModuleDict({"inner": nn.GRU(CHANNELS, HIDDEN)})["inner"])

    def forward(self, x):
        self.second.flatten_parameters()  # what many modules do for CUDA's sake
        x = self.first(x)[0]
        return self.deep(self.second(x)[0])[0]


def test_a_layer_under_two_names_and_one_deep_inside(run_graph):
    torch.manual_seed(2)
    module = Siblings().eval()
    proto = export(module, (torch.randn(29, 3, CHANNELS),), batch_first=False)
    assert [node.op_type for node in proto.graph.node if node.op_type in ("LSTM", "GRU")] == ["LSTM", "LSTM", "GRU"]
    x = torch.randn(4, 1, CHANNELS)
    with torch.no_grad():
        assert_equal(run_graph(proto, x), [module(x)])


def test_a_layer_by_itself_is_lowered_as_well(run_graph):
    torch.manual_seed(3)
    layer = nn.GRU(CHANNELS, HIDDEN, batch_first=True).eval()
    proto = export(layer, (torch.randn(3, 29, CHANNELS),), batch_first=True)
    x = torch.randn(2, 11, CHANNELS)
    with torch.no_grad():
        assert_equal(run_graph(proto, x), layer(x))


class Inquisitive(nn.Module):
    """Asks its layer what a lowered one might not know."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        assert isinstance(self.layer, nn.LSTM)
        weight = next(self.parameters())
        state = weight.new_zeros(1, x.shape[1], HIDDEN), self.layer.weight_hh_l0.new_zeros(1, x.shape[1], HIDDEN)
        return self.layer(input=x, hx=state)[1][0] if isinstance(self.layer, nn.LSTM) else self.layer(x, state[0])[1]


class Derived(nn.LSTM):
    """Somebody's own defaults around torch's forward."""

    def __init__(self):
        super().__init__(CHANNELS, HIDDEN)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.LSTM(CHANNELS, HIDDEN),
        Derived,
        lambda: nn.utils.parametrizations.weight_norm(nn.LSTM(CHANNELS, HIDDEN), "weight_hh_l0"),
    ],
    ids=["plain", "derived", "parametrised"],
)
def test_a_lowered_layer_is_still_what_the_module_around_it_takes_it_for(layer, run_graph):
    torch.manual_seed(4)
    module = Inquisitive(layer()).eval()
    if nn.utils.parametrize.is_parametrized(module.layer):
        module.layer.parametrizations.weight_hh_l0.original0.data.mul_(2.0)  # so that the norm matters
    proto = export(module, (torch.randn(29, 3, CHANNELS),), batch_first=False)
    assert [node.op_type for node in proto.graph.node].count("LSTM") == 1
    for batch, sequence in SHAPES:
        x = torch.randn(sequence, batch, CHANNELS)
        with torch.no_grad():
            assert_equal(run_graph(proto, x), [module(x)])


def test_a_hook_on_a_layer_is_kept(run_graph):
    torch.manual_seed(5)
    module = nn.Sequential(nn.GRU(CHANNELS, HIDDEN))
    module[0].register_forward_hook(lambda layer, given, result: result[0] * 2.0)
    proto = export(module, (torch.randn(29, 3, CHANNELS),), batch_first=False)
    x = torch.randn(4, 2, CHANNELS)
    with torch.no_grad():
        assert_equal(run_graph(proto, x), [module(x)])


class Wilful(nn.LSTM):
    """Runs otherwise than its kind, which is still one operator."""

    def forward(self, x, hx=None):
        return super().forward(2.0 * x, hx)


class Inner(nn.LSTM):
    """Holds another of its kind."""

    def __init__(self):
        super().__init__(CHANNELS, CHANNELS)
        self.second = Wilful(CHANNELS, HIDDEN, 2, bidirectional=True)

    def forward(self, x, hx=None):
        return self.second(super().forward(x, hx)[0])


def normed():
    layer = Wilful(CHANNELS, HIDDEN)
    return nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")


@pytest.mark.parametrize("make", [lambda: Wilful(CHANNELS, HIDDEN), Inner, normed])
def test_what_a_forward_of_its_own_calls_as_super_is_the_operator(make, run_graph):
    torch.manual_seed(6)
    module = make().eval()
    assert is_lowered(module)
    for tried in (module, nn.Sequential(module)):
        proto = export(tried, (torch.randn(29, 3, CHANNELS),), batch_first=False)
        for batch, sequence in SHAPES:
            x = torch.randn(sequence, batch, CHANNELS)
            with torch.no_grad():
                y, (h, c) = tried(x)
            assert_equal(run_graph(proto, x), [y, h, c])


def test_the_module_itself_is_not_changed():
    module = Around("lstm", 2, bidirectional=True, bias=True, batch_first=True).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    lowered = lower(module)
    for tensor in (*lowered.parameters(), *lowered.buffers()):
        tensor.data.zero_()
    assert type(module.layer) is nn.LSTM
    assert module.training
    assert module.layer.training
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


def test_a_lowered_module_is_in_evaluation_mode():
    module = nn.Sequential(nn.LSTM(CHANNELS, HIDDEN, 2, dropout=0.5), nn.Dropout(0.5)).train()
    assert not any(child.training for child in lower(module).modules())


def test_a_projection_is_refused_with_reason_and_fix():
    module = nn.Sequential(nn.LSTM(CHANNELS, HIDDEN, proj_size=2))
    with pytest.raises(ModelError) as refused:
        lower(module)
    message = str(refused.value)
    assert "got proj_size=2" in message
    assert "ONNX's LSTM has no projection" in message
    assert "fix: put an nn.Linear behind the LSTM" in message
    assert "\n" not in message


def packed():
    return nn.utils.rnn.pack_sequence([torch.ones(4, CHANNELS), torch.ones(2, CHANNELS)])


@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences_are_refused_with_what_to_do_instead(kind):
    with pytest.raises(ModelError) as refused:
        lower(KINDS[kind](CHANNELS, HIDDEN))(packed())
    assert "got PackedSequence" in str(refused.value)
    assert "a packed sequence cannot be exported" in str(refused.value)
    assert "fix: call it on the padded tensor" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_single_series_are_refused(kind):
    with pytest.raises(InputError, match="got 2 axes; fix: give a batch axis"):
        lower(KINDS[kind](CHANNELS, HIDDEN))(torch.ones(5, CHANNELS))


class Pooled(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.pools, self.layer = nn.Sequential(*layers), nn.LSTM(CHANNELS, HIDDEN, batch_first=True)

    def forward(self, x):
        return self.layer(self.pools(x.transpose(1, 2)).transpose(1, 2))[0]


@pytest.mark.parametrize(
    "pools",
    [(nn.MaxPool1d(2), nn.MaxPool1d(3, 2, 1)), (nn.MaxPool1d((4,), ceil_mode=True), nn.MaxPool1d(2, 1, dilation=2))],
    ids=["one behind another", "with everything"],
)
def test_a_maximum_over_some_samples_takes_any_length(pools, run_graph):
    torch.manual_seed(6)
    module = Pooled(*pools)
    proto = export(module, (torch.randn(3, 29, CHANNELS),), batch_first=True)
    for batch, sequence in ((1, 12), (2, 31), (7, 40)):
        x = torch.randn(batch, sequence, CHANNELS)
        with torch.no_grad():
            assert_equal(run_graph(proto, x), [module(x)])


def test_a_maximum_that_gives_its_places_is_left_alone():
    layer = nn.MaxPool1d(2, return_indices=True)
    assert type(lower(nn.Sequential(layer))[0]) is nn.MaxPool1d
