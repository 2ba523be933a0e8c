"""What the page on the gateway names is what the gateway gives."""

import json
import re

import docs_pages
import numpy as np

from toolkit.edge.answer_form import AnswerForm
from toolkit.edge.changes import Flag
from toolkit.edge.gateway_metrics import GatewayMetrics, Score
from toolkit.edge.messages import ForecastWriter
from toolkit.edge.service_templates import UNIT
from toolkit.edge.settings import WatchSettings

TEXT = (docs_pages.DOCS / "gateway.md").read_text(encoding="utf-8")


def test_every_flag_of_a_forecast_is_told() -> None:
    told = re.search(r"list of what is to\nbe known: (.*)\.", TEXT)
    assert told is not None
    assert told[1].replace("`", "").split(", ") == [str(flag.name).lower() for flag in Flag]


def test_every_metric_that_is_named_is_served() -> None:
    metrics = GatewayMetrics()
    metrics.score([Score("pump-001", "pressure.mean", 1.0, 2.0, 3.0)])
    served = metrics.registry.exposition()
    named = set(re.findall(r"`(lstm_edge_\w+)", TEXT))
    assert named
    assert [name for name in named if f"# TYPE {name} " not in served] == []


def test_the_message_that_is_shown_has_the_keys_of_one_that_is_sent() -> None:
    form = AnswerForm("forecast", ("pressure.mean",), ("Pa",), horizon=1)
    writer = ForecastWriter(form, "pump-station", "0f3c", 60_000_000)
    sent = writer.payload("pump-001", 1_767_574_740_000_000, {"forecast": np.float32([[101325.5]])}, 0, 3.1)
    assert sent is not None
    (shown,) = (json.loads(each.text) for each in docs_pages.examples("json") if each.page == "gateway.md")
    assert shown.keys() == json.loads(sent).keys()
    assert shown["forecast"] == json.loads(sent)["forecast"]


def test_the_port_and_the_unit_are_the_ones_that_are_written() -> None:
    assert f"http://127.0.0.1:{WatchSettings().port}" in TEXT
    assert UNIT in TEXT
