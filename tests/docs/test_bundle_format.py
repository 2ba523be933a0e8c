"""The specification lists every key of the manifest, with its default, and what the reader really checks."""

import dataclasses
import json
from typing import Any

import docs_pages
import pytest

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import TensorSpec
from toolkit.contract.manifest import (
    SCHEMA,
    BundleManifest,
    FileEntry,
    PrecisionDecision,
    StatePolicy,
)
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.records import encode
from toolkit.contract.signals import Channel, SignalSpec
from toolkit.runtime.golden_manifest import LARGEST_PART, golden_sizes

PARTS: dict[str, Any] = {
    "Top level": BundleManifest,
    "File": FileEntry,
    "Graph": GraphEntry,
    "Tensor": TensorSpec,
    "Signal": SignalSpec,
    "Channel": Channel,
    "Model": ModelSpec,
    "State": StatePolicy,
    "Precision": PrecisionDecision,
}
TABLES = docs_pages.tables("bundle-format.md")
TEXT = (docs_pages.DOCS / "bundle-format.md").read_text(encoding="utf-8")


def default_of(field: "dataclasses.Field[Any]") -> str:
    """As the page writes it: empty for a key that must be there."""
    if field.default_factory is not dataclasses.MISSING:
        return f"`{json.dumps(encode(field.default_factory()))}`"
    return "" if field.default is dataclasses.MISSING else f"`{json.dumps(encode(field.default))}`"


@pytest.mark.parametrize("heading", PARTS)
def test_a_table_has_every_key_and_its_default(heading: str) -> None:
    wanted = [(f"`{field.name}`", default_of(field)) for field in dataclasses.fields(PARTS[heading])]
    told = [(row[0], row[2] if row[2] != "null" else "`null`") for row in TABLES[heading]]
    assert told == wanted


def test_the_schema_is_the_one_that_is_written() -> None:
    assert f'"{SCHEMA}"' in TEXT


def test_golden_cases_and_bounds_are_the_readers() -> None:
    rows = {row[0]: row for row in TABLES["Golden vectors"]}
    for name, (series, samples) in golden_sizes(60).items():
        shown = {"window": "`window_length`", "rough": "`window_length` + 1", "short": "2"}[name]
        assert rows[f"`{name}`"][1:3] == [str(series), shown]
        assert samples == {"`window_length`": 60, "`window_length` + 1": 61, "2": 2}[shown]
    assert (LARGEST_PART["fp32"], LARGEST_PART["fp16"], LARGEST_PART["int8"]) == (1 / 50, 1 / 4, 1 / 2)
    assert "1/50" in TEXT
    assert "fp16 1/4, int8 1/2" in TEXT
