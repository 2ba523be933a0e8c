"""What is read: each source for what it is, nothing twice, and a line for whatever is none."""

import json
import os
from pathlib import Path

import pytest
import report_sources as sources

from toolkit.contract.reports import report_to_json
from toolkit.errors import BundleError, OutputError, ReportError, ToolkitError
from toolkit.report import sources as reading
from toolkit.report.document import report_html, write_page
from toolkit.report.sources import read_sources


def refused(*paths: Path) -> str:
    with pytest.raises(ToolkitError) as found:
        read_sources(paths)
    assert "\n" not in str(found.value)
    assert isinstance(found.value, (ReportError, BundleError))
    return str(found.value)


def changed(path: Path, **values: object) -> Path:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return sources.write_run(tmp_path / "runs" / "tiny")


def test_a_run_gives_its_reports_its_epochs_and_its_configuration(run: Path) -> None:
    material = read_sources([run])
    assert material.run is not None
    assert [epoch.best for epoch in material.run.epochs] == [False, True, False]
    assert material.run.config_toml == sources.CONFIG
    assert [one.name for one in (*material.data, *material.training, *material.evaluations)] == [
        "data.json",
        "training.json",
        "evaluation.json",
    ]


def test_a_run_of_an_older_release_lacks_the_pictures(tmp_path: Path) -> None:
    material = read_sources([sources.write_run(tmp_path / "run", training=sources.training_report())])
    assert material.training
    assert not material.data
    assert not material.evaluations


def test_every_json_file_of_a_folder_may_be_named(run: Path) -> None:
    by_folder, by_files = read_sources([run]), read_sources([run, *sorted(run.glob("*.json"))])
    assert report_html(by_folder) == report_html(by_files)


def test_a_report_is_not_taken_twice(tmp_path: Path) -> None:
    (file,) = sources.write(tmp_path, parity=sources.parity_report())
    (tmp_path / "copy.json").write_bytes(file.read_bytes())
    assert len(read_sources([file, file, tmp_path / "copy.json"]).parity) == 1


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    files = []
    for name, report in (("before", sources.latency_report()), ("after", sources.latency_report(notes=()))):
        (tmp_path / name).mkdir()
        files += sources.write(tmp_path / name, latency=report)
    assert [one.name for one in read_sources(files).latency] == ["before/latency.json", "after/latency.json"]


@pytest.mark.parametrize("kind", sources.REPORTS)
def test_a_report_is_read_as_it_was_written(kind: str, tmp_path: Path) -> None:
    report = sources.REPORTS[kind]()
    material = read_sources(sources.write(tmp_path, one=report))
    field = reading.KINDS[report.schema][1]
    (read,) = getattr(material, field)
    assert read.report == report


@pytest.mark.parametrize("kind", sources.REPORTS)
def test_keys_of_a_newer_release_are_passed_over(kind: str, tmp_path: Path) -> None:
    (file,) = sources.write(tmp_path, one=sources.REPORTS[kind]())
    material = read_sources([changed(file, something_new={"deep": [1]})])
    assert report_html(material)


def test_a_foreign_json_is_refused_with_the_schemas_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"schema": "invoice/3"}')
    assert "got schema 'invoice/3'; allowed: data/1, training/1" in refused(tmp_path / "other.json")
    (tmp_path / "list.json").write_text("[1, 2]")
    assert "no schema" in refused(tmp_path / "list.json")


def test_an_older_schema_is_refused(tmp_path: Path) -> None:
    (file,) = sources.write(tmp_path, latency=sources.latency_report())
    assert "got schema 'latency/1'" in refused(changed(file, schema="latency/1"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert "is no JSON" in refused(tmp_path / "x.json")


def test_a_missing_file_and_a_strange_folder_are_refused(tmp_path: Path) -> None:
    assert "cannot read" in refused(tmp_path / "nothing.json")
    assert "cannot read" in refused(tmp_path / "x\x00y.json")
    assert "is neither a run nor a bundle" in refused(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    assert "is no plain file" in refused(tmp_path / "pipe.json")


def test_a_file_is_measured_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = sources.write(tmp_path, parity=sources.parity_report())
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    assert "is too large for a report; allowed: 1000 bytes" in refused(file)


def test_two_runs_are_refused(tmp_path: Path) -> None:
    runs = [sources.write_run(tmp_path / name) for name in "ab"]
    assert "two run folders in one report" in refused(*runs)


def test_too_many_sources_are_refused(tmp_path: Path) -> None:
    assert "too many sources" in refused(*(tmp_path / f"{place}.json" for place in range(40)))


@pytest.mark.parametrize("name", ["training.json", "data.json", "config.toml", "metrics.jsonl"])
def test_a_file_that_the_run_did_not_write_is_refused(name: str, run: Path) -> None:
    (run / name).write_bytes((run / name).read_bytes() + b" ")
    assert f"{name} is not what the run wrote" in refused(run)


def test_a_damaged_manifest_is_refused(tmp_path: Path, root: Path) -> None:
    bundle = sources.copy_bundle(root, tmp_path / "bundle")
    changed(bundle / "manifest.json", graphs=[])
    assert "manifest.json: graphs" in refused(bundle)
    (bundle / "manifest.json").write_bytes(b"\xff{")
    assert "is not JSON" in refused(bundle)


@pytest.mark.parametrize("accuracy", ['{"verdict": NaN}', '{"verdict": 1e999}', '{"x": ' + "[" * 600 + "]" * 600 + "}"])
def test_what_json_or_python_cannot_hold_in_a_free_part_of_a_manifest_is_refused(
    accuracy: str, tmp_path: Path, root: Path
) -> None:
    bundle = sources.copy_bundle(root, tmp_path / "bundle")
    text = json.dumps({**json.loads((bundle / "manifest.json").read_text()), "accuracy": "HERE"})
    (bundle / "manifest.json").write_text(text.replace('"HERE"', accuracy))
    told = refused(bundle)
    assert "is not JSON" in told or "manifest.json: accuracy; got" in told


def test_tables_too_deep_within_each_other_are_refused(tmp_path: Path) -> None:
    (file,) = sources.write(tmp_path, parity=sources.parity_report(environment={"x": "HERE"}))
    file.write_text(file.read_text().replace('"HERE"', "[" * 600 + "]" * 600))
    assert "too deep" in refused(file)


def test_curves_of_another_length_than_their_times_are_refused(tmp_path: Path) -> None:
    short = sources.example(truth=(1.0,))
    (file,) = sources.write(tmp_path, evaluation=sources.evaluation_report(examples=(short,)))
    assert "examples[0]: truth; got 1 values; allowed: 12" in refused(file)
    trace = sources.trace("temperature", count=10)
    wrong = sources.data_report(traces=(trace.__class__("a", "temperature", trace.times_s, trace.low, (), trace.high),))
    (file,) = sources.write(tmp_path, data=wrong)
    assert "traces[0]: mean; got 0 values; allowed: 10" in refused(file)


def test_times_beyond_the_calendar_are_refused(tmp_path: Path) -> None:
    (file,) = sources.write(tmp_path, data=sources.data_report(end_s=1e18))
    assert "end_s; got 1e+18; allowed: seconds since 1970" in refused(file)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("passed", "yes", "passed; got 'yes'; allowed: true or false"),
        ("cases", {}, "cases; got {}; allowed: a list"),
        ("notes", [3], "notes[0]; got 3; allowed: text"),
        ("summary", None, "summary; got None; allowed: a table"),
        ("summary", {"cases": 1}, "lacks the key 'failed'"),
    ],
)
def test_a_value_of_the_wrong_type_is_told_with_its_place(key: str, value: object, says: str, tmp_path: Path) -> None:
    (file,) = sources.write(tmp_path, parity=sources.parity_report())
    assert says in refused(changed(file, **{key: value}))


def test_a_number_that_no_axis_can_show_is_refused_and_null_is_not_finite(tmp_path: Path) -> None:
    (file,) = sources.write(tmp_path, training=sources.training_report(seconds=float("nan")))
    assert "not finite" in report_html(read_sources([file]))
    assert "seconds; got 1e+200" in refused(changed(file, seconds=1e200))


def test_a_page_replaces_an_old_one_and_no_source(tmp_path: Path) -> None:
    (file,) = sources.write(tmp_path, parity=sources.parity_report())
    page = tmp_path / "page.html"
    page.write_text("old")
    write_page([file], page)
    assert "<title>" in page.read_text()
    before = file.read_bytes()
    with pytest.raises(OutputError, match="one of its sources"):
        write_page([file], file)
    assert file.read_bytes() == before


def test_nothing_is_written_where_a_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError):
        write_page([tmp_path / "nothing.json"], tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_the_schema_of_every_kind_is_known() -> None:
    assert {json.loads(report_to_json(make()))["schema"] for make in sources.REPORTS.values()} == set(reading.KINDS)
