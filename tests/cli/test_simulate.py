import os
import shlex

import numpy as np
import polars as pl
import pytest

from toolkit.cli import console
from toolkit.cli.main import main
from toolkit.data.plant_files import write_plant
from toolkit.errors import OutputError
from toolkit.signal.plant import CHANNELS, simulate_plant
from toolkit.signal.pump_station import FAULTS

NAMES = [channel.name for channel in CHANNELS]
SHORT = ["--assets", "2", "--days", "0.05"]


def run(*arguments):
    """Exit status of `lstm-edge simulate`."""
    with pytest.raises(SystemExit) as end:
        main(["simulate", *map(str, arguments)])
    return end.value.code or 0


@pytest.mark.parametrize("name", ["plant.csv", "plant.parquet", "PLANT.CSV"])
def test_the_file_holds_the_table_to_the_last_bit(tmp_path, capsys, name):
    assert run(tmp_path / name, *SHORT, "--seed", 5) == 0
    read = pl.read_csv if name.lower().endswith("csv") else pl.read_parquet
    frame = read(tmp_path / name)
    table = simulate_plant(2, 0.05, seed=5)
    assert frame.columns == ["timestamp", "asset", *NAMES, "fault"]
    assert frame[NAMES].to_numpy().tobytes("C") == table.values.tobytes()
    assert frame["asset"].to_list() == [table.assets[index] for index in table.asset_index]
    assert set(frame["fault"]) <= set(FAULTS)
    assert os.listdir(tmp_path) == [name]


def test_timestamps_are_iso_utc_in_csv_and_typed_in_parquet(tmp_path):
    for name in ("a.csv", "a.parquet"):
        assert run(tmp_path / name, *SHORT, "--start", "2026-03-01T06:30:00+01:00", "--interval", 30) == 0
    text = pl.read_csv(tmp_path / "a.csv")["timestamp"]
    assert text[:2].to_list() == ["2026-03-01T05:30:00Z", "2026-03-01T05:30:30Z"]
    typed = pl.read_parquet(tmp_path / "a.parquet")["timestamp"]
    assert typed.dtype == pl.Datetime("us", "UTC")
    assert typed.dt.strftime("%Y-%m-%dT%H:%M:%SZ").to_list() == text.to_list()


def test_fault_labels_stand_by_their_names(tmp_path):
    table = simulate_plant(1, 7, interval_s=3600)
    write_plant(table, tmp_path / "week.csv")
    faults = pl.read_csv(tmp_path / "week.csv")["fault"]
    np.testing.assert_array_equal([FAULTS.index(name) for name in faults], table.labels)
    assert set(faults) == set(FAULTS)


def test_no_faults_means_none(tmp_path):
    assert run(tmp_path / "a.csv", "--assets", 1, "--days", 7, "--interval", 3600, "--no-faults") == 0
    assert set(pl.read_csv(tmp_path / "a.csv")["fault"]) == {"none"}


def test_says_what_it_wrote_and_what_to_type_next(tmp_path, capsys):
    out = tmp_path / "my plant.csv"
    assert run(out, *SHORT) == 0
    written, following = capsys.readouterr().out.splitlines()
    assert written.endswith(": 144 rows of 9 channels, 2 assets, 2026-01-05T00:00:00Z to 2026-01-05T01:11:00Z")
    words = shlex.split(following.removeprefix("next: "))
    assert words[:4] == ["lstm-edge", "train", "--data", str(out)]
    assert words[words.index("--exclude") + 1] == "fault"
    assert words[-2:] == ["--run", "runs/my plant"]


def test_an_existing_file_is_replaced_only_on_request(tmp_path, capsys):
    out = tmp_path / "a.csv"
    out.write_text("mine")
    assert run(out, *SHORT) == 2
    assert "exists already" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert run(out, *SHORT, "--overwrite") == 0
    assert out.read_text().startswith("timestamp,")


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write_plant(simulate_plant(1, 0.01), tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("words", "name", "options"),
    [
        ("got the ending '.txt'; allowed: .csv, .parquet", "a.txt", []),
        ("got the ending ''", "a", []),
        ("no folder", "missing/a.csv", []),
        ("number of days is out of range; got 0", "a.csv", ["--days", "0"]),
        ("number of days is out of range; got -1", "a.csv", ["--days", "-1"]),
        ("number of days is out of range; got nan", "a.csv", ["--days", "nan"]),
        ("seed is out of range; got -1", "a.csv", ["--seed", "-1"]),
        ("--start is no time; got 'yesterday'; allowed: ISO", "a.csv", ["--start", "yesterday"]),
        ("whole minutes", "a.csv", ["--start", "2026-01-05T00:00:30Z"]),
        ("must divide a day; got 7 s", "a.csv", ["--interval", "7"]),
        ("needs an asset", "a.csv", ["--assets", "0"]),
        ("'x' is not a valid integer", "a.csv", ["--assets", "x"]),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(tmp_path, capsys, words, name, options):
    assert run(tmp_path / name, *options) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert not out
    assert not list(tmp_path.iterdir())


def test_the_place_is_checked_before_anything_is_simulated(tmp_path, capsys):
    assert run(tmp_path / "a.txt", "--days", "0") == 2
    assert "the ending" in capsys.readouterr().err


def test_a_folder_in_the_file_s_place_is_refused(tmp_path, capsys):
    (tmp_path / "a.csv").mkdir()
    assert run(tmp_path / "a.csv", "--overwrite") == 2
    assert "a folder of that name" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert run(tmp_path / "a.csv", *SHORT) == 2
    assert "read-only" in capsys.readouterr().err


def test_a_missing_extra_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(console.EXTRAS, "tables", ("no_such_package",))
    assert run(tmp_path / "a.csv") == 2
    assert "pip install 'lstm-edge-toolkit[tables]'" in capsys.readouterr().err


def test_help_has_an_example(capsys):
    assert run("--help") == 0
    assert "lstm-edge simulate plant.csv" in capsys.readouterr().out
