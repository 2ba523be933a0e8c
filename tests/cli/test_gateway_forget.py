"""`lstm-edge gateway forget`."""

import json
import re
import shutil
from pathlib import Path

import edge_journal as plant
import pytest
from command_line import Cli, one_line

from toolkit.edge.changes import Changes, Sample

DAY_US = 86_400_000_000
NAMES = ("pump-0", "pump-1", "pump-2")
LONG = "line-07/filling-station/conveyor-belt-drive-north/gearbox-output-shaft/vibration-transmitter-0042"


@pytest.fixture
def config(cli: Cli, root: Path, tmp_path: Path) -> Path:
    """Of a gateway that has no password here, and whose journal knows three assets."""
    out = tmp_path / "etc"
    assert cli("gateway", "init", root / "exported" / "pump-station", "--out", out, "--no-service").status == 0
    path = out / "gateway.toml"
    path.write_text(re.sub(r"#password = .*", 'password = "${MQTT_PASSWORD_OF_NOBODY}"', path.read_text()))
    assert "MQTT_PASSWORD_OF_NOBODY" in path.read_text()
    journal, _ = plant.restored(out / "state")
    records = {n: plant.record(n, series=n, newest_us=[(20_000 + n) * DAY_US, None], open_place=5) for n in range(3)}
    samples = [Sample(1, 1, 20_001 * DAY_US + n, 1.0, None) for n in range(4)]
    journal.commit(Changes(assets=records, samples=samples, forecasts=[plant.forecast("pump-1")]))
    journal.close()
    return path


def assets_of(config: Path) -> list[str]:
    journal, found = plant.restored(config.parent / "state")
    journal.close()
    return [record.name for record in found.assets.values()]


def test_an_asset_is_forgotten_without_a_password(cli: Cli, config: Path) -> None:
    result = cli("gateway", "forget", config, "pump-1")
    assert (result.status, result.err) == (0, "")
    assert "Forgotten: pump-1, and with them 4 open readings" in result.out
    assert f"Assets left: 2; journal: {config.parent}/state/journal.sqlite" in " ".join(result.out.split())
    assert assets_of(config) == ["pump-0", "pump-2"]
    journal, _ = plant.restored(config.parent / "state")
    assert [entry.asset for entry in journal.outbox.pending(9)] == ["pump-1"]
    journal.close()


def test_the_list_shows_every_asset_and_forgets_none(cli: Cli, config: Path) -> None:
    result = cli("gateway", "forget", config, "--list")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0].split() == ["asset", "newest", "reading", "series", "open", "readings"]
    assert [line.split() for line in lines[2:5]] == [
        ["pump-0", "2024-10-04T00:00:00Z", "0", "0"],
        ["pump-1", "2024-10-05T00:00:00.000003Z", "1", "4"],
        ["pump-2", "2024-10-06T00:00:00Z", "2", "0"],
    ]
    assert assets_of(config) == list(NAMES)


def test_the_list_stays_within_80_columns_and_steers_no_terminal(cli: Cli, config: Path) -> None:
    journal, _ = plant.restored(config.parent / "state")
    record = plant.AssetRecord(9, f"{LONG}\x1b[2J", newest_us=[21_000 * DAY_US + 123_456])
    journal.commit(Changes(assets={9: record}))
    journal.close()
    result = cli("gateway", "forget", config, "--list")
    table = result.out.split("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "\x1b" not in result.out
    assert "2027-07-01T00:00:00.123456Z" in table
    assert "\x1b" not in cli("gateway", "forget", config, record.name).out


def test_of_many_that_are_forgotten_some_are_named(cli: Cli, config: Path) -> None:
    journal, _ = plant.restored(config.parent / "state")
    journal.commit(Changes(assets={n: plant.record(n) for n in range(25)}))
    journal.close()
    result = cli("gateway", "forget", config, *(f"pump-{n}" for n in range(25)))
    assert " and 5 more, and with them 4 open readings" in " ".join(result.out.split())
    assert assets_of(config) == []


def test_an_empty_journal_is_listed_as_such(cli: Cli, config: Path) -> None:
    cli("gateway", "forget", config, *NAMES)
    assert cli("gateway", "forget", config, "--list").out.startswith("no asset\n\nAssets: 0; journal:")


def test_the_report_says_what_went_and_what_is_left(cli: Cli, config: Path) -> None:
    result = cli("gateway", "forget", config, "pump-1", "pump-1", "--json", "-")
    report = json.loads(result.out)
    assert "Forgotten: pump-1," in result.err
    assert report == {
        "journal": str(config.parent / "state" / "journal.sqlite"),
        "forgotten": [{"name": "pump-1", "newest_us": 20_001 * DAY_US + 3, "series": 1, "open_readings": 4}],
        "assets": [
            {"name": "pump-0", "newest_us": 20_000 * DAY_US, "series": 0, "open_readings": 0},
            {"name": "pump-2", "newest_us": 20_002 * DAY_US, "series": 2, "open_readings": 0},
        ],
        "schema": "gateway-forget/1",
    }


def test_an_unknown_asset_is_one_line_and_nothing_is_forgotten(cli: Cli, config: Path) -> None:
    message = one_line(cli("gateway", "forget", config, "pump-1", "pmp-2"))
    assert "the journal has no asset 'pmp-2'; nothing was forgotten; fix: did you mean 'pump-2'?" in message
    assert assets_of(config) == list(NAMES)


def test_a_gateway_that_runs_has_to_be_stopped_first(cli: Cli, config: Path) -> None:
    journal, _ = plant.restored(config.parent / "state")
    assert "is in use; got another gateway that runs there" in one_line(cli("gateway", "forget", config, "pump-1"))
    journal.close()
    assert assets_of(config) == list(NAMES)


@pytest.mark.parametrize("arguments", [(), ("--list", "pump-1")])
def test_either_assets_are_named_or_the_list_is_asked_for(cli: Cli, config: Path, arguments: tuple[str, ...]) -> None:
    assert "Name at least one ASSET, or give --list alone" in one_line(cli("gateway", "forget", config, *arguments))
    assert assets_of(config) == list(NAMES)


def test_where_systemd_has_the_journal_its_folder_is_told(
    cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    state = config.parent / "state"
    config.write_text(re.sub("^folder = .*", 'folder = ""', config.read_text(), flags=re.MULTILINE))
    message = one_line(cli("gateway", "forget", config, "pump-1"))
    assert "leaves the journal's folder to systemd; fix: --journal /var/lib/lstm-edge-gateway" in message
    assert cli("gateway", "forget", config, "pump-1", "--journal", state).status == 0
    assert assets_of(config) == ["pump-0", "pump-2"]


def test_no_journal_is_made_where_there_is_none(cli: Cli, config: Path) -> None:
    state = config.parent / "state"
    shutil.rmtree(state)
    assert f"there is no journal in {state}" in one_line(cli("gateway", "forget", config, "--list"))
    assert not state.exists()


def test_a_configuration_that_is_not_there_is_one_line(cli: Cli, tmp_path: Path) -> None:
    assert "cannot read" in one_line(cli("gateway", "forget", tmp_path / "gateway.toml", "pump-1"))
