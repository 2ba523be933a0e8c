"""Log lines: JSON whatever is logged, without secrets, and not without end."""

import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.edge.json_log import MOST_KEYS, JsonFormatter, RepeatFilter, configure, set_level

SECRET = 'gr"een\ncheese'


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("toolkit.edge").makeRecord(
        "toolkit.edge", logging.WARNING, "file.py", 1, message, arguments, None, extra=extra
    )


def told(message: str, *arguments: object, **extra: object) -> dict[str, object]:
    return json.loads(JsonFormatter([SECRET]).format(record(message, *arguments, **extra)))


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_how_grave_who_and_what() -> None:
    made = record("read %d of %s", 3, "pump-3", asset="pump-3", reason="too_late", depth=2.5, whole=True, none=None)
    made.created = 1_764_000_000.000001
    assert json.loads(JsonFormatter().format(made)) == {
        "time": "2025-11-24T16:00:00.000001Z",
        "level": "warning",
        "logger": "toolkit.edge",
        "message": "read 3 of pump-3",
        "asset": "pump-3",
        "reason": "too_late",
        "depth": 2.5,
        "whole": True,
        "none": None,
    }


def test_fields_cannot_take_the_place_of_the_lines_own() -> None:
    assert told("m", time="never", level="none", logger="nobody")["level"] == "warning"


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), [1, 2], b"x", {"a": 1}, object])
def test_what_json_has_not_is_written_as_text(value: object) -> None:
    assert told("m", value=value)["value"] == str(value)


@given(st.text(), st.text())
def test_a_line_is_one_line_of_printable_json_that_reads_back(message: str, value: str) -> None:
    line = JsonFormatter().format(record("%s", message, value=value))
    assert line.isprintable()
    found = json.loads(line)
    assert (found["message"], found["value"]) == (message, value)


@pytest.mark.parametrize("mark", ["\x1b[2J", "\x7f", "\x9b2J", "\u202e", "\ud800", "\U000e0041", "\u2028"])
def test_no_mark_steers_a_terminal(mark: str) -> None:
    line = JsonFormatter().format(record(f"a{mark}b"))
    assert line.isprintable()
    assert json.loads(line)["message"] == f"a{mark}b"


def test_an_exception_is_one_field() -> None:
    try:
        raise ValueError(f"password {SECRET}")
    except ValueError:
        made = record("it failed")
        made.exc_info = sys.exc_info()
    line = JsonFormatter([SECRET]).format(made)
    assert line.isprintable()
    exception = str(json.loads(line)["exception"])
    assert exception.startswith("Traceback")
    assert exception.endswith("ValueError: password ***")


def test_secrets_are_nowhere() -> None:
    found = told("%s", f"x{SECRET}y", password=SECRET, nested={"a": 1}, **{f"k{SECRET}": 1})
    assert found["message"] == "x***y"
    assert found["password"] == "***"
    assert found["k***"] == 1


def test_a_secret_within_another_leaves_no_rest() -> None:
    line = JsonFormatter(["green", "greencheese"]).format(record("greencheese green"))
    assert json.loads(line)["message"] == "*** ***"


def test_an_empty_or_tiny_secret_leaves_the_lines_readable() -> None:
    assert json.loads(JsonFormatter(["", "a"]).format(record("a banana")))["message"] == "a banana"


def test_a_line_has_an_end() -> None:
    assert len(JsonFormatter().format(record("x" * 1_000_000))) < 10_000


def test_repeated_events_are_written_once_a_minute_with_a_count() -> None:
    now = [0.0]
    repeats = RepeatFilter(clock=lambda: now[0])

    def passes(key: str | None = "late") -> object:
        made = record("m") if key is None else record("m", repeat=key)
        return repeats.filter(made) and json.loads(JsonFormatter().format(made)).get("left_out", 0)

    assert [passes() for _ in range(4)] == [0, False, False, False]
    assert passes("other") == 0
    assert [passes(None), passes(None)] == [0, 0]
    now[0] = 59.9
    assert passes() is False
    now[0] = 60.0
    assert passes() == 4
    assert passes() is False
    now[0] = 120.0
    assert passes() == 1


def test_keys_without_end_cost_no_memory_without_end() -> None:
    repeats = RepeatFilter(clock=lambda: 0.0)
    for number in range(3 * MOST_KEYS):
        repeats.filter(record("m", repeat=str(number)))
    assert len(repeats._written) == MOST_KEYS


def test_configure_reaches_every_logger_and_warnings(stream: io.StringIO) -> None:
    configure("info", secrets=[SECRET], stream=stream)
    configure("info", secrets=[SECRET], stream=stream)
    logging.getLogger("paho").info("connected with %s", SECRET)
    logging.getLogger("paho").debug("not written")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    found = lines(stream)
    assert [line["logger"] for line in found] == ["paho", "py.warnings"]
    assert found[0]["message"] == "connected with ***"


def test_the_level_may_be_changed_while_it_runs(stream: io.StringIO) -> None:
    configure("error", stream=stream)
    log = logging.getLogger("toolkit.edge")
    log.warning("before")
    set_level("debug")
    log.debug("after")
    assert [line["message"] for line in lines(stream)] == ["after"]


def test_repeats_are_left_out_whatever_logger_they_come_from(stream: io.StringIO) -> None:
    configure("info", stream=stream)
    for _ in range(5):
        logging.getLogger("toolkit.edge.any").warning("again", extra={"repeat": "k"})
    assert len(lines(stream)) == 1


def test_journald_learns_the_priority_and_nobody_else(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    with (tmp_path / "journal").open("w+") as journal:
        about = os.fstat(journal.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{about.st_dev}:{about.st_ino}")
        configure("debug", stream=journal)
        log = logging.getLogger("toolkit.edge")
        for level in (10, 20, 30, 40, 50):
            log.log(level, "m")
        journal.seek(0)
        assert [line[:4] for line in journal] == ["<7>{", "<6>{", "<4>{", "<3>{", "<2>{"]
    configure("info", stream=stream)
    log.info("m")
    assert stream.getvalue().startswith("{")
