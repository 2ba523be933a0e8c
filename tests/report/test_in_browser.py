"""The report of a demo as a browser shows it: on a telephone and on a desk, light and dark, and on paper.

Screenshots and the printed page are kept in the folder that REPORT_SHOTS names, otherwise in pytest's own.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from browser import Browser, BrowserError, Page, chromium, opened
from filelock import FileLock

from toolkit.benchmark.bundle import BenchmarkPlan
from toolkit.cli.main import main
from toolkit.parity.contender import benchmark_beside_torch
from toolkit.release import plant_demo
from toolkit.runtime.bundle import load_bundle
from toolkit.signal.plant import CHANNELS

LOOKS = (Path(__file__).parent / "looks.js").read_text("utf-8")

PHONE, DESK = 390, 1280
A4_PX = 718
"""What chromium's margins leave of a sheet's width, at 96 pixels to the inch."""
LEAST_LETTERS_PX = 7.5

CHARTS = {
    "data": [rf"{re.escape(one.name)} .*{kind}" for one in CHANNELS for kind in ("over time", "by part")],
    "training": ["Loss by epoch"],
    "forecasts": [
        *(rf"{kind} window, {re.escape(one)} " for one in plant_demo.TARGETS for kind in ("Best", "Median", "Worst")),
        *("Error by step", "Error by target", "Error by asset"),
    ],
    "parity": ["windowed: largest error", "streaming: largest error", "torch's own"],
    "latency": ["single", "bulk", "stream", "windowed: time by batch", "Processor time"],
}
"""By section what the titles of a demo's charts begin with or say."""


class View(NamedTuple):
    """The report in one window: what was seen with its tables folded and unfolded, and what the browser noted."""

    width: int
    dark: bool
    folded: dict[str, Any]
    unfolded: dict[str, Any]
    complaints: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("REPORT_SHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("report-shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `lstm-edge demo` ends with, made once for all of pytest's processes."""
    chromium()
    place = tmp_path_factory.mktemp("demo")
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = tmp_path_factory.getbasetemp().parent / "demo-in-browser"
    page = place / "runs" / "demo-report" / "report.html"
    with FileLock(place.with_suffix(".lock")):
        if not page.exists():
            _quick_demo(place)
    return page


def _quick_demo(place: Path) -> None:
    """One epoch of few windows and short timings: the page is looked at, not its figures."""
    config = plant_demo.demo_config

    def measured(bundle: Path) -> Any:
        return benchmark_beside_torch(load_bundle(bundle), BenchmarkPlan(seconds=0.2))

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(plant_demo, "demo_config", lambda path: config(path, max_epochs=2, stride=40))
        patch.setattr(plant_demo, "benchmark_demo", measured)
        main(["demo", "--out", str(place)])
    assert not end.value.code


@pytest.fixture(scope="module", params=[(PHONE, False), (PHONE, True), (DESK, False), (DESK, True)], ids=str)
def view(request: pytest.FixtureRequest, browser: Browser, report: Path, shots: Path) -> View:
    width, dark = request.param
    with opened(browser, report, width, dark=dark) as page:
        folded = look(page)
        page.screenshot(shots / f"report-{width}-{'dark' if dark else 'light'}.png")
        unfold(page)
        unfolded = look(page)
        return View(width, dark, folded, unfolded, page.complaints, page.requests)


def look(page: Page, *, paper: bool = False) -> dict[str, Any]:
    """What `looks.js` sees of the page."""
    return dict(page.run(f"{LOOKS}({json.dumps({'width': page.width, 'paper': paper})})"))


def unfold(page: Page) -> None:
    """Opens every table behind a chart."""
    page.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")


def test_the_console_is_silent_and_nothing_but_the_file_is_asked_for(view: View, report: Path) -> None:
    assert not view.complaints
    assert view.requests == [report.resolve().as_uri()]


def test_every_chart_is_there_and_drawn(view: View) -> None:
    charts = view.folded["charts"]
    for section, patterns in CHARTS.items():
        titles = [chart["title"] for chart in charts if chart["section"] == section]
        missing = [pattern for pattern in patterns if not any(re.search(pattern, title) for title in titles)]
        assert not missing, (section, titles)
    empty = [chart for chart in charts if chart["marks"] < 1 or chart["words"] < 2 or chart["rows"] < 1]
    assert not empty
    assert all(chart["width"] > 300 and chart["height"] > 60 for chart in charts)


def test_no_word_of_a_chart_is_cut_off_or_crosses_another_or_is_too_small(view: View) -> None:
    charts = view.folded["charts"]
    assert not [(chart["title"], chart["cut"]) for chart in charts if chart["cut"]]
    assert not [(chart["title"], chart["crossing"]) for chart in charts if chart["crossing"]]
    assert min(chart["letters"] for chart in charts) >= LEAST_LETTERS_PX


def test_nothing_scrolls_to_the_side_with_tables_folded_or_not(view: View) -> None:
    for seen in (view.folded, view.unfolded):
        assert seen["width"] == view.width, "a telephone zooms out of a page that is too wide"
        assert seen["filled"] <= view.width
        assert not seen["stickingOut"]
    assert view.unfolded["words"] > 2 * view.folded["words"]


def test_every_word_stands_out_from_what_is_behind_it(view: View) -> None:
    assert view.folded["ground"] < 0.05 if view.dark else view.folded["ground"] > 0.9
    assert view.folded["words"] > 500
    assert not view.folded["faint"] + view.unfolded["faint"]


def test_a_screen_reader_announces_every_chart_by_its_title(browser: Browser, report: Path) -> None:
    with opened(browser, report, DESK) as page:
        told = page.pictures_told()
        titles = [chart["title"] for chart in look(page)["charts"]]
    assert len(told) == len(titles)
    assert not [title for title, name in zip(titles, told, strict=True) if not name.startswith(title) or name == title]


@pytest.fixture(scope="module")
def paper(browser: Browser, report: Path, shots: Path) -> tuple[bytes, dict[str, Any]]:
    """The page as somebody prints it who reads it in the dark: the PDF, and what is seen on a sheet."""
    with opened(browser, report, DESK, dark=True) as page:
        printed = page.pdf(shots / "report.pdf").read_bytes()
        page.resize(A4_PX, 1000)
        page.prefer(dark=True, paper=True)
        return printed, look(page, paper=True)


def test_it_prints_dark_on_white_whatever_the_screen_prefers(paper: tuple[bytes, dict[str, Any]]) -> None:
    printed, seen = paper
    assert not seen["faint"]
    assert not [chart["title"] for chart in seen["charts"] if chart["marks"] < 1 or chart["width"] < 200]
    assert printed.startswith(b"%PDF-")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", printed)) < 60
    assert b"/Font" in printed


def test_nothing_is_wider_than_a_sheet_of_paper(paper: tuple[bytes, dict[str, Any]]) -> None:
    """By the widest table chromium shrinks all pages, and cuts off what still does not fit."""
    assert not paper[1]["stickingOut"]


WORD = '<svg viewBox="0 0 100 50"><title>t</title>{}</svg>'
FAULTS = {
    "console": ("<script>console.error('no')</script>", lambda page, _: page.complaints),
    "exception": ("<script>throw new Error('no')</script>", lambda page, _: page.complaints),
    "broken path": (WORD.format('<path d="M0,0 LNaN,3"/>'), lambda page, _: page.complaints),
    "request": ('<img src="https://sensor.invalid/a.png">', lambda page, _: page.requests[1:]),
    "font": (
        "<style>@font-face { font-family: F; src: url(https://sensor.invalid/f) } p { font-family: F }</style><p>a</p>",
        lambda page, _: page.requests[1:],
    ),
    "wide": ('<div style="width: 700px">wide</div>', lambda _, seen: seen["filled"] > PHONE),
    "wide and hidden": (
        '<style>html { overflow-x: hidden }</style><div style="width: 700px">wide</div>',
        lambda _, seen: seen["stickingOut"],
    ),
    "grey on white": ('<p style="color: #999">faint</p>', lambda _, seen: seen["faint"]),
    "see-through": ('<p style="opacity: .3">faint</p>', lambda _, seen: seen["faint"]),
    "black on a dark shape": (
        WORD.format('<rect width="100" height="50" fill="#222"/><text x="9" y="20">faint</text>'),
        lambda _, seen: seen["faint"],
    ),
    "axes alone": (
        "<style>:root { --grid: #ddd; --muted: #555 }</style>"
        + WORD.format('<path d="M0,0 L9,9" stroke="#555" fill="none"/><text x="9" y="20" fill="#555">0</text>'),
        lambda _, seen: seen["charts"][0]["marks"] == 0,
    ),
    "drawn outside": (
        WORD.format('<path d="M900,900 L950,950" stroke="red" fill="none"/>'),
        lambda _, seen: seen["charts"][0]["marks"] == 0,
    ),
    "cut off": (WORD.format('<text x="-9" y="20">label</text>'), lambda _, seen: seen["charts"][0]["cut"]),
    "crossing": (
        WORD.format('<text x="9" y="20">label</text><text x="15" y="22">other</text>'),
        lambda _, seen: seen["charts"][0]["crossing"],
    ),
    "folded to nothing": (
        f'<div style="width: 0">{WORD.format("<path/>")}</div>',
        lambda _, seen: seen["charts"][0]["width"] == 0,
    ),
}


def test_the_eyes_see_nothing_wrong_where_nothing_is(browser: Browser, tmp_path: Path) -> None:
    page, seen = planted(browser, tmp_path, WORD.format('<path d="M0,0 L9,9" stroke="red"/><text y="30">0</text>'))
    chart = seen["charts"][0]
    assert (page.complaints, len(page.requests), seen["filled"], seen["stickingOut"], seen["faint"]) == (
        [],
        1,
        390,
        [],
        [],
    )
    assert (chart["marks"], chart["words"], chart["cut"], chart["crossing"]) == (1, 1, [], [])


@pytest.mark.parametrize("fault", FAULTS)
def test_the_eyes_see_each_fault(fault: str, browser: Browser, tmp_path: Path) -> None:
    content, told = FAULTS[fault]
    assert told(*planted(browser, tmp_path, content))


def planted(browser: Browser, folder: Path, content: str) -> tuple[Page, dict[str, Any]]:
    file = folder / "planted.html"
    head = '<!DOCTYPE html><meta name="viewport" content="width=device-width"><body style="margin: 0">'
    file.write_text(head + content, encoding="utf-8")
    with opened(browser, file, PHONE) as page:
        return page, look(page)


def test_a_browser_that_ends_or_refuses_is_an_error_and_no_waiting(tmp_path: Path) -> None:
    with Browser(tmp_path / "one") as browser:
        with pytest.raises(BrowserError, match="cannot show"):
            browser.page(PHONE, 900).show(tmp_path / "nowhere.html")
        with pytest.raises(BrowserError, match=r"Page\.fly"):
            browser.call("Page.fly")
        with pytest.raises(BrowserError, match=r"Browser\.crash: the browser has ended"):
            browser.call("Browser.crash")
        with pytest.raises(BrowserError, match="has ended"):
            browser.call("Browser.getVersion")
