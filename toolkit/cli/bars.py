"""Bars on a terminal, drawn by rich on standard error: how far, how fast, how long still. None elsewhere."""

import importlib.util
from typing import Any

from toolkit.cli.console import draws


def bar(unit: str, *, steps: bool = True) -> Any:
    """A `rich.progress.Progress` that vanishes at its end, or None where nothing may be drawn or rich is missing.

    Args:
        unit: what is counted, for the rate; tasks may count something else in their field `counted`.
        steps: show the steps that are done, of how many; otherwise per cent.
    """
    if not draws() or importlib.util.find_spec("rich") is None:
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn() if steps else TaskProgressColumn(),
        *_rate_and_time_left(unit),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _rate_and_time_left(unit: str) -> tuple[Any, Any]:
    from rich.progress import ProgressColumn, Task, TimeRemainingColumn

    class Rate(ProgressColumn):
        """Per second, since the task began; nothing before there is something to divide."""

        def render(self, task: Task) -> str:
            counted = float(task.fields.get("counted", task.completed))
            if not counted or not task.elapsed:
                return ""
            rate = counted / task.elapsed
            return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.1f} {unit}/s"

    return Rate(), TimeRemainingColumn(elapsed_when_finished=True)
