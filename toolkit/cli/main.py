"""`lstm-edge`: one command per verb, each in its own file.

Command files import click alone at their top; what a command needs is imported inside its body, so that
`lstm-edge --help` works on a gateway that has neither torch nor onnx nor polars.
"""

import importlib
import sys
from typing import Any

import click

from toolkit.cli.interrupts import raise_interrupts, stop_waiting
from toolkit.cli.versions import show_versions
from toolkit.errors import ToolkitError

COMMANDS = (
    "demo",
    "init",
    "simulate",
    "train",
    "tune",
    "evaluate",
    "score",
    "export",
    "parity",
    "benchmark",
    "compare",
    "report",
    "tune-session",
    "gateway",
    "inspect",
    "doctor",
    "completion",
)

INTERRUPTED = 130
"""What a shell says of a command that Ctrl-C ended."""


class CommandGroup(click.Group):
    """Finds the command `name` in the module `toolkit.cli.name`; a dash becomes an underscore, as Python needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which people use them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command's file."""
        if cmd_name not in COMMANDS:
            return None
        module = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"toolkit.cli.{module}"), module)
        return command


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_versions,
    help="Show the versions that matter and exit.",
)
def lstm_edge() -> None:
    """From a table of sensor readings to a verified ONNX forecaster on an edge gateway.

    Exit status: 0 done and within limits; 1 it ran and a check failed; 2 the request was wrong; 130 interrupted.
    NO_COLOR=1 keeps colours and moving bars away; 'lstm-edge completion' teaches the shell to complete commands.
    """


def main(arguments: list[str] | None = None) -> Any:
    """Runs the command line; a user's error is one line on standard error and never a traceback."""
    raise_interrupts()
    try:
        sys.exit(lstm_edge.main(arguments, prog_name="lstm-edge", standalone_mode=False))
    except ToolkitError as error:
        _fail(str(error), error.exit_status)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        _fail(_one_line(error), 2)
    except (OSError, MemoryError) as error:
        _fail(f"the system refused: {getattr(error, 'strerror', None) or str(error) or 'not enough memory'}", 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; nothing half written was left behind; fix: run the command again", INTERRUPTED)
    finally:
        stop_waiting()


def _one_line(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f"; fix: see '{context.command_path} --help'" if context is not None else ""
    return " ".join(error.format_message().split()).rstrip(".") + hint


def _fail(message: str, status: int) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(status)
