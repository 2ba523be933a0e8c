"""What the page on getting started says of the extras is what commands ask for."""

import re

import docs_pages


def test_what_an_extra_is_said_to_be_enough_for_asks_for_no_other() -> None:
    rows = docs_pages.tables("getting-started.md")["Install"]
    (row,) = [row for row in rows if "[tables]" in row[1]]
    commands = re.findall(r"`([\w-]+)`", row[2])
    assert "score" in commands
    for name in commands:
        source = (docs_pages.DOCS.parent / "toolkit" / "cli" / f"{name.replace('-', '_')}.py").read_text("utf-8")
        assert re.findall(r"require_extra\(\"(\w+)\"", source) == ["tables"], name
