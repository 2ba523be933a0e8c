"""Every message that the page on troubleshooting quotes still stands in the source."""

from pathlib import Path

import docs_pages
import message_literals
import pytest

QUOTED = [row[0].strip("`") for rows in docs_pages.tables("troubleshooting.md").values() for row in rows]


@pytest.fixture(scope="module")
def texts(root: Path) -> set[str]:
    return message_literals.texts_under(root / "toolkit")


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_stands_in_the_source(message: str, texts: set[str]) -> None:
    assert any(message in text for text in texts)


def test_there_are_messages_and_each_is_told_once() -> None:
    assert len(QUOTED) > 60
    assert len(QUOTED) == len(set(QUOTED))


def test_a_message_that_no_longer_stands_there_is_missed(texts: set[str]) -> None:
    assert not any("there is no bundel …" in text for text in texts)


def test_what_differs_is_shown_by_dots() -> None:
    source = "f\"{where}: the {part} part{'s' if many else ''} of \"\nx = \"two\\n  lines\"\n"
    assert {"…: the … part… of", "two lines"} <= set(message_literals.texts_of(source))
