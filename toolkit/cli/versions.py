"""`lstm-edge --version`: the toolkit's version and those that decide what it can do."""

import platform
from importlib.metadata import PackageNotFoundError, version

import click

from toolkit import __version__

PACKAGES = ("onnxruntime", "numpy", "torch", "onnx")
"""Those that answers, graphs and weights come from, by the names they are imported by."""
DISTRIBUTIONS = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}


def show_versions(context: click.Context, option: click.Parameter, value: bool) -> None:
    """Prints a line for each that is installed. None of them is imported: torch alone would take seconds."""
    if value and not context.resilient_parsing:
        click.echo("\n".join(version_lines()))
        context.exit()


def version_lines() -> list[str]:
    """The toolkit first, in the form that click's own option has."""
    found = [(name, installed) for name in PACKAGES if (installed := _installed(name)) is not None]
    lines = [("Python", platform.python_version()), *found]
    return [f"lstm-edge, version {__version__}", *(f"{name} {installed}" for name, installed in lines)]


def _installed(package: str) -> str | None:
    for distribution in DISTRIBUTIONS.get(package, (package,)):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None
