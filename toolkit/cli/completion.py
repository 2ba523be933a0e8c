"""`lstm-edge completion`: the script that makes a shell complete commands and options."""

import click

PROGRAM = "lstm-edge"
SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and their values in SHELL: bash (4.4 or newer), zsh or fish.

    \b
    Put one line into the shell's own file and open a new shell:
      ~/.bashrc                                eval "$(lstm-edge completion bash)"
      ~/.zshrc, after compinit                 eval "$(lstm-edge completion zsh)"
      ~/.config/fish/config.fish               lstm-edge completion fish | source

    The script asks lstm-edge itself at each Tab, which imports no model and reads no data.

    Example: lstm-edge completion bash > ~/.lstm-edge-complete.bash
    """  # noqa: D301 (click's mark for lines that are not to be joined)
    click.echo(script(shell), nl=False)


def script(shell: str) -> str:
    """click's own script for the shell; which version of the shell runs is not asked, so that any machine can write it.

    Raises:
        ValueError: a shell that click does not know.
    """
    from click.shell_completion import get_completion_class

    from toolkit.cli.main import lstm_edge

    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"no completion for {shell!r}")
    complete = kind(lstm_edge, {}, PROGRAM, f"_{PROGRAM.replace('-', '_').upper()}_COMPLETE")
    return complete.source_template % complete.source_vars()
