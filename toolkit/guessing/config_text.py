"""A commented `lstm-edge.toml`: each setting with the reason why it stands there."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 100
_TITLES = {
    "data": "Where the readings are, what they mean, and how they are cut into windows.",
    "features": "Raw samples become features of equal intervals, every variable at a rate of its own.",
    "model": "Any of these may be changed; these are the defaults. What is not said is what wins on real data.",
    "training": "",
}
DEFAULTS = (
    ("model", "streaming", False, "true: a plain LSTM that answers sample by sample, and is trained so"),
    ("model", "hidden_size", 64, ""),
    ("model", "cell", "lstm", "or gru"),
    ("training", "max_epochs", 50, ""),
    ("training", "loss", "mse", "or mae, huber, or quantile with model.quantiles"),
    ("training", "seeds", 1, "trainings; the best on validation is kept"),
)


@dataclass(frozen=True)
class Setting:
    """One key of the configuration, and why.

    Attributes:
        key: in its table.
        value: None leaves the key out as a comment.
        reason: why, in one sentence.
        choices: where nobody but the reader can tell: the values it may have, each written as a comment.
        needed: whether nothing can be trained before one of them is chosen.
        table: of the configuration.
    """

    key: str
    value: object
    reason: str
    choices: tuple[object, ...] = ()
    needed: bool = False
    table: str = "data"


def config_text(settings: Sequence[Setting], command: str) -> str:
    """The text of the configuration.

    Args:
        settings: in the order in which they are to stand.
        command: what wrote it, for the first line.
    """
    parts = [_comment(f"Written by: {command}\nEvery line is a guess from a sample of the file. Check it, then train.")]
    for table, text in _TITLES.items():
        found = [setting for setting in settings if setting.table == table]
        defaults = [_default(key, value, text) for name, key, value, text in DEFAULTS if name == table]
        if found or defaults:
            title = [_comment(text)] if text else []
            parts.append("\n".join([*title, f"[{table}]", *map(_lines, found), *defaults]))
    return "\n\n".join(parts) + "\n"


def _default(key: str, value: object, text: str) -> str:
    return f"# {key} = {toml_value(value)}" + (f"  # {text}" if text else "")


def toml_value(value: object) -> str:
    """TOML for text, numbers, truths, lists and tables of them."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_text(str(key))} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return _list([toml_value(item) for item in value])
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    """A TOML basic string: JSON's, but for DEL, which TOML wants escaped too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(items: list[str]) -> str:
    """On one line where it fits, else filled up line by line."""
    line = f"[{', '.join(items)}]"
    if len(line) <= WIDTH:
        return line
    rows: list[str] = []
    row = "   "
    for item in items:
        if len(row) + len(item) + 2 > WIDTH and row.strip():
            rows, row = [*rows, row], "   "
        row += f" {item},"
    return "\n".join(["[", *rows, row, "]"])


def _lines(setting: Setting) -> str:
    lines = [_comment(setting.reason)]
    if setting.choices:
        lines += [_comment("Take the # away from the line that is right:")]
        lines += [f"# {setting.key} = {toml_value(choice)}" for choice in setting.choices]
    else:
        lines.append(f"{setting.key} = {toml_value(setting.value)}")
    return "\n".join(lines)


def _comment(text: str) -> str:
    """A name from a file may hold any mark; a comment ends at the first that breaks a line."""
    lines = [
        line for part in text.split("\n") for line in textwrap.wrap(part, WIDTH - 2, break_on_hyphens=False) or [""]
    ]
    return "\n".join("# " + "".join(mark if mark.isprintable() else "?" for mark in line) for line in lines)
