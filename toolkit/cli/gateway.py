"""`lstm-edge gateway`: the process on the edge. Each of its verbs stands in a file of its own."""

import importlib
import importlib.util

import click

VERBS = ("check", "init", "run", "forget")


class GatewayGroup(click.Group):
    """Finds the verb `name` as `name` in the module `toolkit.cli.gateway_name`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which people use them."""
        return [verb for verb in VERBS if importlib.util.find_spec(f"toolkit.cli.gateway_{verb}") is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the verb's file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(importlib.import_module(f"toolkit.cli.gateway_{cmd_name}"), cmd_name)
        return command


@click.group(cls=GatewayGroup, short_help="Run a bundle on the edge: check, init, run, forget.")
def gateway() -> None:
    """Sensor messages in, forecasts out, nothing lost: the process on the edge.

    Check a bundle on the machine that is to run it, let init write gateway.toml, run.

    Example: lstm-edge gateway check exported/pump-station
    """
