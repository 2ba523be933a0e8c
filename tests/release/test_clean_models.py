"""No false alarm: clean models drawn at random pass the gate and parity.

A quick form of `benchmarks/clean_models.py`, whose record in `benchmarks/results/` is of a hundred models on the grid
that a bundle's verdict rests on. Every architecture that others might write comes once; of the toolkit's own there are
a few of few layers, because `test_model_family.py` and `test_rnn_grid.py` go through them all.
"""

import importlib.util
import sys

import pytest

OWN = (0, 2, 4, 10)
"""Both cells, both directions, both layouts, both heads, classes, one that is trained."""
STEPS = 25


@pytest.fixture(scope="module")
def models(root):
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("clean_models", root / "benchmarks" / "clean_models.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for what they are annotated with
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("number", [*OWN, *range(1, 23, 2)])
def test_a_clean_model_raises_no_alarm(models, number):
    outcome = models.judge(models.draw(number, STEPS))
    assert not outcome.alarm, f"{outcome.what}: {outcome.alarm}"
    assert 0.0 < outcome.share <= 1.0


def test_every_kind_of_model_is_drawn(models):
    others = range(1, 2 * len(models.ARCHITECTURES), 2)
    drawn = [models.draw(number, 1) for number in (*OWN, *others)]
    assert others == range(1, 23, 2)
    told = " ".join(model.what for model in drawn)
    for word in (
        "cell=lstm",
        "cell=gru",
        "bidirectional=True",
        "head=every",
        "classes=",
        "batch_first=True",
        "trained",
    ):
        assert word in told
    assert {architecture.__name__ for architecture, *_ in models.ARCHITECTURES} <= set(told.split())


def test_a_number_draws_the_same_model_again(models):
    first, second = (models.draw(10, 2) for _ in range(2))
    assert first.what == second.what
    assert first.samples.tolist() == second.samples.tolist()
    for name, weight in first.graphs["windowed"].module.state_dict().items():
        assert weight.equal(second.graphs["windowed"].module.state_dict()[name])


def test_an_alarm_is_told(models):
    model = models.draw(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "check_same", lambda *_: (_ for _ in ()).throw(models.ToolkitError("it differs")))
        assert models.judge(model).alarm == "it differs"
