"""Settings that a page shows are settings that there are."""

import dataclasses
import json
import tomllib
from typing import Any, get_args, get_origin, get_type_hints

import docs_pages
import pytest

from toolkit.data.config import DataConfig
from toolkit.data.feature_config import FeatureConfig
from toolkit.edge.settings_file import _GatewayFile
from toolkit.training.config import ModelConfig, TrainConfig

KINDS: dict[str, Any] = {"data": DataConfig, "features": FeatureConfig, "model": ModelConfig, "training": TrainConfig}
SIGNAL = {"interval_s", "channels", "targets", "units"}
"""Of a file for `--signal`."""
TUNE = {field.name for kind in (ModelConfig, TrainConfig) for field in dataclasses.fields(kind)}
EXAMPLES = docs_pages.examples("toml")


def unknown(tables: dict[str, Any]) -> list[str]:
    """Keys that no configuration of the toolkit has."""
    if "bundle" in tables:
        return _unknown_in(_GatewayFile, tables)
    if "channels" in tables:
        return sorted(set(tables) - SIGNAL)
    tune = sorted(set(tables.pop("tune", {})) - TUNE)
    wrong = [name for name in tables if name not in KINDS]
    return [
        *wrong,
        *tune,
        *(key for name in set(tables) & set(KINDS) for key in _unknown_in(KINDS[name], tables[name])),
    ]


def _unknown_in(kind: Any, table: dict[str, Any]) -> list[str]:
    hints = get_type_hints(kind)
    found = [key for key in table if key not in hints]
    for key in set(table) & set(hints):
        inner = next((each for each in (hints[key], *get_args(hints[key])) if dataclasses.is_dataclass(each)), None)
        values = table[key] if isinstance(table[key], list) else [table[key]]
        if get_origin(hints[key]) is dict:  # by names of the reader's own
            values = list(table[key].values())
        for value in values if inner is not None else ():
            found += _unknown_in(inner, value)
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{each.page}:{each.line}" for each in EXAMPLES])
def test_settings_of_a_page_exist(example: docs_pages.Example) -> None:
    assert unknown(tomllib.loads(example.text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "[data]\nmising = 'break'",
        "[dta]\nmissing = 'break'",
        "[tune]\nhiden_size = [1]",
        "channels = []\nunit = {}",
        "bundle = 'x'\n[brokr]\nhost = ''",
        "bundle = 'x'\n[broker]\nhots = ''",
        "bundle = 'x'\n[[input]]\ntopics = ''",
        "bundle = 'x'\n[limits.p]\nminimal = 0.0",
    ],
)
def test_a_setting_that_does_not_exist_is_told(text: str) -> None:
    assert unknown(tomllib.loads(text))


@pytest.mark.parametrize("example", docs_pages.examples("json"), ids=lambda each: each.page)
def test_json_of_a_page_is_json(example: docs_pages.Example) -> None:
    assert json.loads(example.text)


def test_settings_that_a_table_names_exist() -> None:
    """Of `own-data.md`, whose first column is what a table has and whose second the setting that reads it."""
    names = {field.name for field in dataclasses.fields(DataConfig)} | {"[features]"}
    for row in docs_pages.tables("own-data.md")["What tables look like outside of textbooks"]:
        for code in row[1].split("`")[1::2]:
            assert code.split(" ")[0] in names
