"""The directive `commands`: a section for each command of `lstm-edge`, with what its `--help` prints."""

from collections.abc import Iterator
from typing import Any

import click
from docutils import nodes
from docutils.parsers.rst import Directive

from toolkit.cli.main import lstm_edge

WIDTH = 78
"""Columns of the help: those of a terminal of 80, without the margin that click leaves."""


def helps() -> Iterator[tuple[str, str]]:
    """Each command as it is typed, and its help; a group stands before its own commands."""
    yield from _helps(
        click.Context(lstm_edge, info_name="lstm-edge", terminal_width=WIDTH, **lstm_edge.context_settings)
    )


def _helps(context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, context.get_help()
    group = context.command
    for name in group.list_commands(context) if isinstance(group, click.Group) else ():
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield from _helps(click.Context(command, context, name, **command.context_settings))


class CommandReference(Directive):
    """`commands`, without arguments or content."""

    def run(self) -> list[nodes.Node]:
        """The sections, named by their commands."""
        return [self._section(name, text) for name, text in helps()]

    def _section(self, name: str, text: str) -> nodes.section:
        section = nodes.section(names=[nodes.fully_normalize_name(name)])
        section += nodes.title(name, name)
        section += nodes.literal_block(text, text, language="text")
        self.state.document.note_implicit_target(section, section)
        return section


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("commands", CommandReference)
    return {"parallel_read_safe": True}
