"""The baselines that the page on one's own data names are those that `evaluate` has on a table that came later."""

import re
from types import SimpleNamespace
from typing import Any

import docs_pages

from toolkit.training import forecast_evaluation

NAMES = {"persistence": "persistence", "seasonal": "seasonal naive", "linear": "a linear model"}


def test_the_baselines_of_a_later_table_are_the_ones_that_are_told() -> None:
    text = (docs_pages.DOCS / "own-data.md").read_text(encoding="utf-8")
    told = re.search(r"`evaluate` scores a table that came later, beside (.*?), by target", text, re.DOTALL)
    assert told is not None
    forecaster: Any = SimpleNamespace(signal=SimpleNamespace(target_indices=(0,)), horizon=1, scale=1.0)
    later: Any = SimpleNamespace(train=None)
    found = forecast_evaluation._baselines(forecaster, later, 24)
    assert told[1].split() == " and ".join(NAMES[name] for name in found).split()
