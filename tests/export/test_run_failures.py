"""A module that does not run is told what to mend: a line of its own, or the `--input`."""

import pytest
import torch
from torch import nn

from toolkit.errors import ModelError
from toolkit.export.foreign_graph import foreign_graph
from toolkit.export.input_spec import parse_tensor


class Answering(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


def refusal(module):
    with pytest.raises(ModelError) as caught:
        foreign_graph(module, [parse_tensor("x: float32[batch, sequence, 9]")])
    return str(caught.value)


BUGS = {
    "NameError": lambda x: undefined_name + x,  # noqa: F821
    "AttributeError": lambda x: x.no_such_method(),
    "IndexError": lambda x: x[..., 12],
    "KeyError": lambda x: {}["x"],
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_in_somebodys_code_is_told_by_its_line(name):
    line = BUGS[name].__code__.co_firstlineno
    message = refusal(Answering(BUGS[name]))
    assert f"got {name}: " in message
    assert message.endswith(f"test_run_failures.py:{line}")


@pytest.mark.parametrize("layer", [nn.Linear(5, 2), nn.LSTM(5, 2, batch_first=True), nn.GRU(5, 2)])
def test_a_wrong_number_of_features_is_told_with_the_right_one(layer):
    assert refusal(layer).endswith('fix: the last axis must be 5: --input "x: float32[batch, sequence, 5]"')


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: x.unfold(1, 3000, 1).mean(-1),
        lambda x: nn.functional.conv1d(x.transpose(1, 2), torch.ones(1, 9, 3000)),
    ],
)
def test_a_length_that_is_needed_is_told(answer):
    assert "fix: it takes 3000 samples or more" in refusal(Answering(answer))


def test_a_module_that_needs_hundreds_of_samples_is_tried_on_them():
    graph = foreign_graph(
        Answering(lambda x: x.unfold(1, 300, 1).mean(-1)), [parse_tensor("x: float32[batch, sequence, 9]")]
    )
    assert graph.limits.at_least("sequence") == 300
