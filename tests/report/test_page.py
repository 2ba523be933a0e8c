"""The page as a browser is given it: whole, by itself, readable without seeing it, and unbroken by any name."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_sources as sources

from toolkit.report.document import SECTIONS, report_html
from toolkit.report.provenance import without_folders
from toolkit.report.sources import read_sources

VOID = {"meta", "br", "link", "img", "input", "hr"}
HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Every element with its attributes, in order, and whether each is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory, root: Path) -> str:
    """A page of a run, a bundle and a report of every kind."""
    folder = tmp_path_factory.mktemp("sources")
    files = sources.write_all(folder)
    run, bundle = sources.write_run(folder / "tiny"), sources.copy_bundle(root, folder / "bundle")
    return report_html(read_sources([run, bundle, *files]))


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def made(*files: Path) -> str:
    return report_html(read_sources(files))


def test_the_page_is_html_whose_elements_are_closed(page: Page) -> None:
    assert page.open == []
    assert page.elements[0][0] == "html"


def test_every_section_is_there_and_linked_to(page: Page) -> None:
    keys = [section["id"] for section in page.of("section")]
    assert keys[0] == "verdict"
    assert keys[-1] == "provenance"
    assert len(keys) == len(SECTIONS)
    assert [link["href"] for link in page.of("a")] == [f"#{key}" for key in keys]


def test_the_page_asks_for_nothing(html: str, page: Page) -> None:
    assert "http:" not in html
    assert "https:" not in html
    assert "//" not in html
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html
    assert not {"script", "link", "img", "iframe", "object", "embed", "style"} & {tag for tag, _ in page.elements[8:]}
    assert not any(name == "src" or name.startswith("on") for _, attributes in page.elements for name in attributes)
    references = [value for _, attributes in page.elements for name, value in attributes.items() if "href" in name]
    assert all(value.startswith("#") for value in references)


def test_the_page_forbids_the_browser_to_ask(page: Page) -> None:
    policy = next(meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_ids_are_unique_and_whatever_is_referred_to_exists(html: str, page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = {value[1:] for _, attributes in page.elements for name, value in attributes.items() if name == "href"}
    referred |= set(re.findall(r"url\(#([^)]*)\)", html))
    referred |= {one for svg in page.of("svg") for one in svg["aria-labelledby"].split()}
    assert referred <= set(ids)


def test_every_chart_has_a_title_words_and_a_table_with_numbers(html: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", html, re.DOTALL)
    assert len(figures) > 30
    for figure in figures:
        inner = Page(figure)
        (svg,) = inner.of("svg")
        assert svg["role"] == "img"
        assert re.search(r"<title [^>]*>[^<]+</title><desc [^>]*>[^<]+</desc>", figure)
        assert inner.of("path")
        assert len(inner.of("text")) > 1
        assert len(inner.of("details")) == 1
        assert len(inner.of("td")) >= 2


def test_charts_use_the_colours_of_the_page_alone(html: str) -> None:
    charts = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert not re.findall(r"#[0-9a-f]{6}", charts)
    defined = set(re.findall(r"(--\w+):", html))
    assert set(re.findall(r"var\((--\w+)\)", html)) <= defined


def test_dark_and_print_define_every_colour_that_light_does(html: str) -> None:
    light, dark, paper = (
        set(re.findall(r"(--\w+):", block)) for block in re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    )
    assert light == dark == paper


def test_the_same_sources_give_the_same_bytes(tmp_path: Path, html: str) -> None:
    files = sources.write_all(tmp_path)
    assert made(*files) == made(*files)


def test_a_page_of_a_large_table_is_small_enough_to_be_sent(tmp_path: Path) -> None:
    """As many channels, assets and slices as are drawn at all."""
    names = tuple(f"channel-{place}" for place in range(16))
    traces = tuple(sources.trace(name, asset, 400) for name in names for asset in "abc")
    spread = tuple(sources.distribution(name) for name in names)
    report = sources.data_report(names, units=("",) * 16, traces=traces, distributions=spread)
    assert len(made(*sources.write(tmp_path, data=report)).encode()) < 3_000_000


def test_a_name_cannot_become_markup(tmp_path: Path) -> None:
    run = sources.write_run(tmp_path / "run", channels=(HOSTILE, "$x^{2$ 温度"))
    named = {
        "evaluation": sources.evaluation_report(
            name=HOSTILE,
            file=HOSTILE,
            verdict=HOSTILE,
            examples=(sources.example(target=HOSTILE, asset=HOSTILE, unit=HOSTILE),),
            by_asset={HOSTILE: sources.Errors(1, 1), "b": sources.Errors(1, 1)},
        ),
        "parity": sources.parity_report(cases=(sources.case(graph=HOSTILE, input=HOSTILE),), notes=(HOSTILE,)),
        "latency": sources.latency_report(
            environment={"cpu": HOSTILE, "packages": {HOSTILE: HOSTILE}}, notes=(HOSTILE,)
        ),
    }
    html = made(run, *sources.write(tmp_path, **named))
    assert HOSTILE.lower() not in html.lower()
    assert html.count("&lt;script&gt;") > 10
    assert Page(html).of("script") == []


def test_a_name_that_steers_text_or_cannot_be_written_is_shown_without_that(tmp_path: Path) -> None:
    name = "a\x00b\x1b[31m\u202eevil\ud800"
    html = made(*sources.write(tmp_path, evaluation=sources.evaluation_report(file=name, verdict=name)))
    assert "a?b?[31m?evil?" in html
    assert html.encode()


def test_the_configuration_is_shown_without_folders(html: str) -> None:
    assert "plant.csv" in html
    assert "somebody" not in html


def test_provenance_holds_what_is_needed_to_make_it_again(html: str) -> None:
    for told in (sources.TABLE_HASH, "c" * 40, "Test CPU", "lstm-edge train config.toml", "onnxruntime", "1.32.0"):
        assert told in html


@pytest.mark.parametrize("kind", sources.REPORTS)
def test_a_report_of_one_kind_alone_makes_a_page_that_says_what_is_missing(kind: str, tmp_path: Path) -> None:
    files = sources.write(tmp_path, **{kind.replace("-", "_"): sources.REPORTS[kind]()})
    html = made(*files)
    assert html.count("Not here: ") >= 3
    assert html.count("Made by <code>lstm-edge") == html.count("Not here: ")


def test_a_bundle_alone_makes_a_page_by_its_manifest(tmp_path: Path, root: Path) -> None:
    html = made(sources.copy_bundle(root, tmp_path / "bundle"))
    assert "Parity passed when the bundle was made: 163 cases" in html
    assert "The bundle&#39;s manifest: errors" in html


def test_two_reports_of_one_kind_are_shown_under_their_names(tmp_path: Path) -> None:
    first, second = sources.latency_report(), sources.latency_report(notes=("the second",))
    html = made(*sources.write(tmp_path, monday=first, tuesday=second))
    assert "<h3>monday.json</h3>" in html
    assert "<h3>tuesday.json</h3>" in html
    ids = re.findall(r' id="([^"]*)"', html)
    assert len(ids) == len(set(ids))


def test_long_tables_are_cut_and_say_so(tmp_path: Path) -> None:
    cases = tuple(sources.case(batch, sequence) for batch in range(1, 12) for sequence in range(1, 12))
    html = made(*sources.write(tmp_path, parity=sources.parity_report(cases=cases)))
    assert "61 more rows are not shown." in html
    assert max(rows.count("<tr>") for rows in re.findall(r"<tbody>.*?</tbody>", html, re.DOTALL)) == 60


def test_many_channels_are_drawn_by_target_and_shift(tmp_path: Path) -> None:
    names = tuple(f"channel-{place}" for place in range(40))
    report = sources.data_report(
        units=("",) * 40,
        channels=names,
        targets=("channel-39",),
        traces=tuple(sources.trace(name, count=5) for name in names),
        distributions=tuple(sources.distribution(name, place / 100) for place, name in enumerate(names)),
    )
    html = made(*sources.write(tmp_path, data=report))
    assert "24 channels more are not." in html
    assert "<figcaption>channel-39 over time" in html
    assert "<figcaption>channel-38 over time" in html
    assert "<figcaption>channel-3 over time" not in html


def test_a_failing_parity_report_with_figures_that_are_not_finite_is_shown(tmp_path: Path) -> None:
    html = made(*sources.write(tmp_path, parity=sources.failed_parity()))
    assert "Failed: 2 of 3 cases." in html
    assert "not finite" in html
    assert "too far" in html


def test_the_worst_case_of_a_size_is_the_one_whose_answer_was_not_finite(tmp_path: Path) -> None:
    cases = (sources.case(), sources.case(error=float("nan"), passed=False), sources.case())
    html = made(*sources.write(tmp_path, parity=sources.parity_report(passed=False, cases=cases)))
    assert ">over</text>" in html


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        ('file = "/home/somebody/plant.csv"', 'file = "plant.csv"'),
        ('file = [\n    "/home/somebody/a.csv",\n    "/home/somebody/[b].csv",\n]', '"a.csv",\n    "[b].csv",\n]'),
        ('file = "C:\\\\somebody\\\\new.csv"', 'file = "new.csv"'),
        ('file = "/home/some\\"body/plant.csv"', 'file = "plant.csv"'),
        ("file = 'C:\\somebody\\new.csv'", "file = 'new.csv'"),
    ],
)
def test_no_folder_of_a_table_is_shown_however_it_is_written(setting: str, shown: str) -> None:
    told = without_folders(f'[data]\n{setting}\nasset = "a/b"\n')
    assert shown in told
    assert "body" not in told
    assert 'asset = "a/b"' in told


def test_a_bundle_of_somebody_elses_module_is_told_with_the_command_that_makes_it(tmp_path: Path, root: Path) -> None:
    bundle = sources.copy_bundle(root, tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    for module, shown in (("nets:make", "nets:make"), ("Net\nrm -rf", "PACKAGE.MODULE:FACTORY")):
        changed = {**manifest, "model": None, "accuracy": {}, "provenance": {"module": module}}
        (bundle / "manifest.json").write_text(json.dumps(changed))
        html = made(bundle, *sources.write(tmp_path, parity=sources.parity_report()))
        assert f"lstm-edge export --module {shown} --weights FILE --input &#39;x: float32[batch" in html
        assert f"--module {shown} --json parity.json" in html
        assert "lstm-edge export runs" not in html
        assert "rm -rf" not in html


def test_charts_of_graphs_whose_names_begin_alike_have_ids_of_their_own(tmp_path: Path) -> None:
    rows = [sources.row(graph=f"windowed-{name}", batch=batch) for name in "abc" for batch in (1, 8)]
    html = made(*sources.write(tmp_path, latency=sources.latency_report(rows=tuple(rows))))
    ids = re.findall(r' id="([^"]*)"', html)
    assert len(ids) == len(set(ids))


def test_a_file_of_many_graphs_makes_a_page_of_a_few(tmp_path: Path) -> None:
    cases = tuple(sources.case(graph=f"graph-{place}") for place in range(100))
    rows = tuple(sources.row(graph=f"graph-{place}", batch=batch) for place in range(100) for batch in (1, 8))
    files = sources.write(
        tmp_path, parity=sources.parity_report(cases=cases), latency=sources.latency_report(rows=rows)
    )
    assert made(*files).count("<figure>") < 50


def test_resident_memory_is_not_called_the_peak(tmp_path: Path) -> None:
    rows = (sources.row(rss_mb=77.0, peak_rss_mb=None),)
    html = made(*sources.write(tmp_path, latency=sources.latency_report(rows=rows, cold=())))
    header = re.findall(r"<th[^>]*>([^<]*)</th>", html[html.index("Every row, with") :])
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", html[html.index("Every row, with") :])
    assert dict(zip(header, cells, strict=False))["peak MB"] == "-"


def test_a_row_that_is_too_noisy_is_told_to_those_who_do_not_see_it(tmp_path: Path) -> None:
    html = made(*sources.write(tmp_path, latency=sources.latency_report(rows=(sources.row(noisy="too noisy"),))))
    assert "Some of these times are too noisy to tell." in html
