"""Every error that the toolkit raises on purpose.

    ToolkitError
    ├── RequestError           the request was wrong: exit status 2
    │   ├── DataError          a table that cannot be used as it is
    │   ├── ConfigError        a setting that is unknown, of the wrong type or out of range
    │   ├── InputError         an array refused before onnxruntime or torch sees it
    │   ├── ModelError         a module that cannot be built, loaded or exported
    │   ├── BundleError        a bundle or run folder that is damaged, unfinished or not one
    │   ├── ReportError        a report that cannot be read, or not be compared with another
    │   ├── OutputError        a place that cannot be written
    │   ├── ContenderError     a contender that cannot be timed here: the benchmark says so and goes on
    │   └── MissingExtraError  a command whose optional packages are not installed
    ├── TrainingInterruptedError  Ctrl-C while training, its checkpoints kept: exit status 130
    ├── ScoringInterruptedError   Ctrl-C while a table is scored, its parts kept: exit status 130
    └── CheckFailedError       it ran, and a check failed: exit status 1
        ├── GateError          a graph that breaks the contract
        ├── ParityError        a graph that does not compute what the module computes
        ├── BudgetError        a figure beyond what was allowed for it
        ├── RegressionError    a figure that is worse than in an earlier report, beyond noise
        ├── GoldenError        a bundle that answers otherwise on this machine than where it was made
        └── ProviderError      a provider that was asked for and left work to another

One user error is one line: what, got, allowed, fix.
"""


class ToolkitError(Exception):
    """The root of the tree; `exit_status` is what the command line ends with."""

    exit_status = 2

    def __init__(self, what: str, *, got: object = None, allowed: object = None, fix: str | None = None) -> None:
        """Joins the parts into one line: `what; got ...; allowed: ...; fix: ...`, each part optional."""
        parts = [what]
        if got is not None:
            parts.append(f"got {got}")
        if allowed is not None:
            parts.append(f"allowed: {allowed}")
        if fix is not None:
            parts.append(f"fix: {fix}")
        line = "; ".join(" ".join(part.split()) for part in parts)
        # A name from a hostile file must not steer the terminal it is shown on.
        super().__init__("".join(mark if mark.isprintable() else "?" for mark in line))


class RequestError(ToolkitError):
    """The request was wrong: bad input, bad option."""


class DataError(RequestError):
    """A table that cannot be used as it is."""


class ConfigError(RequestError):
    """A setting that is unknown, of the wrong type or out of range."""


class InputError(RequestError):
    """An array refused before onnxruntime or torch sees it."""


class ModelError(RequestError):
    """A module that cannot be built, loaded or exported."""


class BundleError(RequestError):
    """A bundle or run folder that is damaged, unfinished or not one."""


class ReportError(RequestError):
    """A report that cannot be read, or not be compared with another."""


class OutputError(RequestError):
    """A place that cannot be written."""


class ContenderError(RequestError):
    """A contender that cannot be timed here, or that answers otherwise: the benchmark says so and goes on."""


class MissingExtraError(RequestError):
    """A command whose optional packages are not installed."""


class CheckFailedError(ToolkitError):
    """The work was done and a check failed."""

    exit_status = 1


class GateError(CheckFailedError):
    """A graph that breaks the graph contract."""


class ParityError(CheckFailedError):
    """A graph that does not compute what the torch module computes."""


class BudgetError(CheckFailedError):
    """A figure beyond what `--budget` allowed for it."""


class RegressionError(CheckFailedError):
    """A figure that is worse than in an earlier report, beyond noise."""


class GoldenError(CheckFailedError):
    """A bundle that answers otherwise on this machine than where it was made."""


class ProviderError(CheckFailedError):
    """A provider that was asked for and left work to another."""


class TrainingInterruptedError(ToolkitError):
    """Ctrl-C while training, after at least one epoch.

    Args:
        run: the run folder to be.
        epochs: whose work is kept.
    """

    exit_status = 130

    def __init__(self, run: object, epochs: int) -> None:
        fix = f"go on with lstm-edge train --resume --run {run}"
        super().__init__(
            f"training was interrupted; {epochs} {'epoch is' if epochs == 1 else 'epochs are'} kept", fix=fix
        )


class ScoringInterruptedError(ToolkitError):
    """Ctrl-C while a table is scored, after at least one part.

    Args:
        out: the table to be.
        rows: of it that are kept.
    """

    exit_status = 130

    def __init__(self, out: object, rows: int) -> None:
        fix = "go on with the same command and --resume"
        super().__init__(f"scoring was interrupted; {rows} rows of {out} are kept in {out}.partial", fix=fix)
