"""The page of commands says what `--help` says, of every command that there is."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import docs_pages
import pytest

from toolkit.cli.main import COMMANDS, lstm_edge

nodes = pytest.importorskip("docutils.nodes", reason="the extra [docs] is not installed")
application = pytest.importorskip("sphinx.application", reason="the extra [docs] is not installed")

CONF = """
import sys
sys.path.insert(0, {extensions!r})
extensions = ["myst_parser", "command_reference"]
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the built page shows, by section."""
    folder = tmp_path_factory.mktemp("commands")
    shutil.copy(docs_pages.DOCS / "commands.md", folder / "index.md")
    (folder / "conf.py").write_text(CONF.format(extensions=str(docs_pages.DOCS / "extensions")), encoding="utf-8")
    built = folder / "_build"
    app = application.Sphinx(str(folder), str(folder), str(built), str(built), "dummy", status=None, warning=None)
    app.build()
    sections = app.env.get_doctree("index").findall(nodes.section)
    return {
        section[0].astext(): block.astext()
        for section in sections
        for block in section.children
        if isinstance(block, nodes.literal_block)
    }


def paths(group: click.Group = lstm_edge, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield before
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from paths(command, (*before, name))
        else:
            yield (*before, name)


PATHS = list(paths())


def test_the_page_has_every_command_and_no_other(reference: dict[str, str]) -> None:
    assert list(reference) == [" ".join(("lstm-edge", *path)) for path in PATHS]
    assert {name.split()[1] for name in reference if " " in name} == set(COMMANDS)


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_the_page_says_what_help_says(
    path: tuple[str, ...],
    reference: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        lstm_edge.main([*path, "--help"], prog_name="lstm-edge")
    assert ended.value.code == 0
    assert reference[" ".join(("lstm-edge", *path))] == capsys.readouterr().out.rstrip("\n")


@pytest.mark.parametrize("path", PATHS[1:], ids=" ".join)
def test_every_command_has_an_example_in_its_help(path: tuple[str, ...], reference: dict[str, str]) -> None:
    shown = reference[" ".join(("lstm-edge", *path))]
    assert f"Example: lstm-edge {path[0]}" in " ".join(shown.split())


def test_the_page_is_made_from_the_commands_and_not_typed() -> None:
    assert "Usage:" not in Path(docs_pages.DOCS, "commands.md").read_text(encoding="utf-8")
