"""Every command that a page shows exists, and takes the options that it is shown with."""

import importlib.util
import re
import tomllib
from pathlib import Path

import click
import docs_pages
import pytest

from toolkit.cli.main import lstm_edge

PROJECT = tomllib.loads((docs_pages.DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
OTHERS = {"mosquitto", "sudo"}
"""Programs that are not the project's: looked at by no test."""

EXAMPLES = docs_pages.examples("console")


def check_toolkit(words: list[str]) -> None:
    """Follows the words to the command, and has it read its options without running it.

    Raises:
        click.UsageError: no such command, no such option, or a value that it does not take.
    """
    context = click.Context(lstm_edge, info_name="lstm-edge")
    command: click.Command = lstm_edge
    rest = words
    while isinstance(command, click.Group):
        name, *rest = rest
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no such command {name}")
        command = found
        context = click.Context(command, context, name)
    values, surplus, _ = command.make_parser(context).parse_args(list(rest))
    if surplus:
        raise click.UsageError(f"surplus {surplus}")
    for parameter in command.params:
        value = values.get(str(parameter.name))
        if not parameter.value_is_missing(value):
            _check_value(parameter, value, context)
        elif parameter.required:
            raise click.MissingParameter(ctx=context, param=parameter)


def _check_value(parameter: click.Parameter, value: object, context: click.Context) -> None:
    """A number is one, a choice is among those that there are; a path need not exist."""
    if not isinstance(parameter.type, click.Path):
        parameter.type_cast_value(context, value)


def check(words: list[str], root: Path) -> None:
    """Refuses a command that could not be typed in a clone of the repository.

    Raises:
        ValueError: a target, extra, script or program that does not exist.
        click.UsageError: as `check_toolkit`.
    """
    program, *rest = words
    if program == "lstm-edge":
        check_toolkit(rest)
    elif program == "torchrun":
        assert importlib.util.find_spec("torch") is not None
        check(rest[rest.index("--") + 1 :], root)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (root / "Makefile").read_text(encoding="utf-8"), re.M)
        wrong = [word for word in rest if "=" not in word and word not in targets]
        if wrong:
            raise ValueError(f"no target {wrong[0]} in the Makefile")
    elif program == "pip":
        extras = {name for word in rest for group in re.findall(r"\[(.+)\]", word) for name in group.split(",")}
        if not extras <= PROJECT["project"]["optional-dependencies"].keys():
            raise ValueError(f"no such extra: {extras}")
    elif program == "python":
        if not (root / rest[0]).is_file():
            raise ValueError(f"no script {rest[0]}")
    elif program not in OTHERS:
        raise ValueError(f"what is {program}?")


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{each.page}:{each.line}" for each in EXAMPLES])
def test_a_command_that_a_page_shows_can_be_typed(example: docs_pages.Example, root: Path) -> None:
    commands = list(docs_pages.typed_commands(example.text))
    assert commands
    for words in commands:
        check(words, root)


@pytest.mark.parametrize(
    "wrong",
    [
        "lstm-edge expart runs/plant",
        "lstm-edge export runs/plant --presicion auto",
        "lstm-edge export runs/plant --precision best",
        "lstm-edge export runs/plant exported/plant",
        "lstm-edge compare before.json",
        "lstm-edge gateway begin",
        "make dema",
        "pip install '.[trian]'",
        "python benchmarks/no_such.py",
        "lstm-egde doctor",
    ],
)
def test_a_command_that_does_not_exist_is_told(wrong: str, root: Path) -> None:
    (words,) = docs_pages.typed_commands(f"$ {wrong}\n")
    with pytest.raises((click.UsageError, ValueError)):
        check(words, root)


def test_pages_show_the_verbs_that_people_use() -> None:
    shown = {words[1] for each in EXAMPLES for words in docs_pages.typed_commands(each.text) if words[0] == "lstm-edge"}
    assert {"init", "train", "evaluate", "score", "export", "parity", "benchmark", "compare", "gateway"} <= shown


def test_an_inline_command_of_a_page_exists() -> None:
    groups = set(lstm_edge.list_commands(click.Context(lstm_edge)))
    for page in docs_pages.pages():
        for name in re.findall(r"`lstm-edge ([a-z-]+)", page.read_text(encoding="utf-8")):
            assert name in groups, f"{page.name}: lstm-edge {name}"
