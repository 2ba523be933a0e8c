"""The commands and Python blocks of a Markdown page, and how they are run small."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from toolkit.cli.main import lstm_edge

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Z_]+=")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """In the page's order."""
    found = (Block(*match) for match in _BLOCK.findall(page.read_text(encoding="utf-8")))
    return [block for block in found if block.language in languages]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command that follows a `$`; comments, assignments before it and continued lines are resolved.

    `a && b` are two commands, and what follows a pipe belongs to the shell.
    """
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        if line.startswith("$ "):
            for part in line[2:].split(" && "):
                words = shlex.split(part.split(" | ")[0], comments=True)
                while words and _ASSIGNMENT.match(words[0]):
                    words = words[1:]
                if words:
                    yield words


def parse(arguments: Sequence[str]) -> None:
    """Refuses a command or an option that `lstm-edge` does not have, without running anything.

    Raises:
        click.ClickException: it does not have it.
    """
    command: click.Command = lstm_edge
    context = command.make_context("lstm-edge", list(arguments))
    while isinstance(command, click.Group):
        left = [*context._protected_args, *context.args]
        name, found, left = command.resolve_command(context, left)
        assert found is not None
        command = found
        context = command.make_context(name, left, parent=context)
