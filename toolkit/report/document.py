"""The page as HTML: one file that asks for nothing from anywhere."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from toolkit import __version__, atomic_files
from toolkit.errors import OutputError
from toolkit.report.comparison import comparison_section
from toolkit.report.data import data_section
from toolkit.report.drawing import drawing
from toolkit.report.forecasts import forecasts_section
from toolkit.report.latency import latency_section
from toolkit.report.material import Material
from toolkit.report.page import Page
from toolkit.report.parity import parity_section
from toolkit.report.profile import profile_section
from toolkit.report.provenance import provenance_section
from toolkit.report.sources import read_sources
from toolkit.report.training import training_section
from toolkit.report.verdict import verdict_section

SECTIONS = (
    verdict_section,
    data_section,
    training_section,
    forecasts_section,
    parity_section,
    latency_section,
    comparison_section,
    profile_section,
    provenance_section,
)
"""In the order in which they are read."""


def write_page(paths: Sequence[Path], out: Path) -> None:
    """Reads the sources and writes the page.

    Args:
        paths: as `read_sources` takes them.
        out: the HTML file; an old one is replaced.

    Raises:
        ReportError: a source cannot be shown.
        BundleError: a bundle whose manifest is not sound.
        OutputError: the page cannot be written, or is one of its sources.
    """
    if out.exists() and any(path.exists() and path.samefile(out) for path in paths):
        raise OutputError(f"cannot write the page {out}", got="one of its sources", fix="name another with --out")
    atomic_files.write_text(out, report_html(read_sources(paths)))


def report_html(material: Material) -> str:
    """The report as one HTML file: no script, no request, the same bytes for the same sources.

    Args:
        material: what `read_sources` read.
    """
    with drawing():
        sections = tuple(section for make in SECTIONS if (section := make(material)) is not None)
    page = Page(f"{material.name}: report", sections)
    environment = Environment(
        loader=PackageLoader("toolkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["drawn"] = Markup  # what `drawing` made, its words escaped there
    environment.tests["block"] = lambda block, name: type(block).__name__ == name
    return environment.get_template("report.html").render(page=page, version=__version__)
