"""A file that somebody asks for spoils no bundle and no run."""

import shutil
from pathlib import Path

import pytest
import report_sources as sources
from command_line import Cli, one_line

from toolkit.cli.output_places import check_output
from toolkit.errors import OutputError


@pytest.fixture
def bundle(tmp_path: Path, root: Path) -> Path:
    return Path(shutil.copytree(root / "exported" / "pump-station", tmp_path / "bundle"))


def test_a_page_is_not_written_into_a_bundle(
    cli: Cli, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(bundle.iterdir())
    assert "within a bundle" in one_line(cli("report", bundle, "--out", bundle / "report.html"))
    monkeypatch.chdir(bundle)
    assert "within a bundle" in one_line(cli("report", "."))
    assert sorted(bundle.iterdir()) == before
    assert cli("report", ".", "--out", tmp_path / "report.html").status == 0


def test_a_json_report_is_not_written_into_a_bundle(cli: Cli, bundle: Path) -> None:
    assert "within a bundle" in one_line(cli("inspect", bundle, "--json", bundle / "inspect.json"))
    assert not (bundle / "inspect.json").exists()


def test_forecasts_are_not_written_into_the_bundle_that_gives_them(cli: Cli, bundle: Path) -> None:
    table = ("--data", "plant.csv", "--timestamp", "timestamp", "--out", bundle / "forecasts.csv")
    assert "within a bundle" in one_line(cli("score", bundle, *table))


@pytest.mark.parametrize("name", ["run.json", "evaluation.json", "training.json"])
def test_a_file_that_a_run_is_known_by_is_not_replaced(name: str, cli: Cli, tmp_path: Path) -> None:
    run = sources.write_run(tmp_path / "run")
    before = (run / name).read_bytes()
    assert "a file that the run there wrote" in one_line(cli("report", run, "--out", run / name))
    assert (run / name).read_bytes() == before


def test_a_page_may_lie_beside_the_files_of_a_run(cli: Cli, tmp_path: Path) -> None:
    run = sources.write_run(tmp_path / "run")
    assert cli("report", run, "--out", run / "report.html").status == 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "somebody/1"}', '{"name": "a web page"}'])
def test_a_manifest_of_another_kind_is_no_bundle(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    check_output(tmp_path / "report.html")


def test_a_bundle_is_known_by_its_schema_alone(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"schema": "bundle/9"}')
    with pytest.raises(OutputError, match="within a bundle"):
        check_output(tmp_path / "report.html")
