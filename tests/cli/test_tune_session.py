import json
import tomllib

import pytest
from command_line import one_line

from toolkit.benchmark import session_tuning as room
from toolkit.cli.session_tables import session_table
from toolkit.contract.session_reports import SessionReport, SessionSetting, SessionTrial, SessionWinner
from toolkit.errors import GoldenError
from toolkit.runtime.session_file import VARIABLE

FAST = SessionSetting("fp32", arena=True)
DEFAULT = SessionSetting("fp32")
SPUN = SessionTrial(
    "windowed", "spinning", SessionSetting("fp32", 2, spinning=True), 0.05, 0.1, 0.2, 0.1, 2.0, (1.9, 2.1), 1.25, False,
    "faster, but it burns idle time; --allow-spinning takes it", 0.97, 0.01,
)  # fmt: skip
REPORT = SessionReport(
    {"name": "tiny"},
    (SessionTrial("windowed", "arena", FAST, 0.08, 0.1, 0.08, 0.1, 1.25, (1.2, 1.3), 1.02, True, "faster"), SPUN),
    (SessionWinner("windowed", FAST, False, 1.25, (1.2, 1.3)), SessionWinner("streaming", DEFAULT, True)),
    ("threads not tried",),
    {},
)


@pytest.fixture
def measured(monkeypatch):
    """The command without its measurement."""
    asked = {}

    def tune(_, **options):
        asked.update(options)
        return REPORT

    monkeypatch.setattr(room, "tune_session", tune)
    return asked


@pytest.fixture(autouse=True)
def _no_file_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_winner_is_written_and_told(cli, small_bundle, tmp_path, measured):
    file = tmp_path / "session.toml"
    result = cli("tune-session", small_bundle, "--out", file, "--seconds", 3, "--allow-spinning")
    assert (result.status, result.err) == (0, "")
    assert (measured["allow_spinning"], measured["instrument"].seconds) == (True, 3.0)
    assert result.out.endswith(f"Written to {file}.\n")
    [entry] = tomllib.loads(file.read_text())["entries"]
    assert entry["graphs"]["windowed"]["arena"] is True
    assert entry["graphs"]["streaming"]["arena"] is False


def test_the_users_own_file_is_the_default_place_and_another_may_be_named(
    cli, small_bundle, tmp_path, measured, monkeypatch
):
    assert cli("tune-session", small_bundle).status == 0
    assert (tmp_path / "config" / "lstm-edge" / "session.toml").is_file()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named.toml"))
    assert cli("tune-session", small_bundle).status == 0
    assert (tmp_path / "named.toml").is_file()


def test_json_on_standard_output_is_alone_there(cli, small_bundle, tmp_path, measured):
    result = cli("tune-session", small_bundle, "--out", tmp_path / "s.toml", "--json", "-")
    assert json.loads(result.out)["winners"][0]["speedup"] == 1.25
    assert "Written to" in result.err


def test_the_table(measured):
    text = session_table(REPORT)
    assert max(map(len, text.splitlines())) <= 80
    lines, text = text.splitlines(), " ".join(text.split())
    assert any(line.startswith("  arena on") and "kept: faster" in line for line in lines)
    assert "windowed: spinning with 2 threads uses 97% of a core between requests, where 1% are used otherwise" in text
    assert "arena on, memory pattern on, optimisation all: 1.25 times as fast as the default (1.20 to 1.30)." in text
    assert "streaming: the default stays (fp32, 1 thread, " in text
    assert text.endswith("Note: threads not tried.")


def test_a_place_within_the_bundle_is_refused_before_anything_is_measured(cli, small_bundle, measured):
    line = one_line(cli("tune-session", small_bundle, "--out", small_bundle / "session.toml"))
    assert "lies within a bundle; fix: name a place outside" in line
    assert not measured
    assert not (small_bundle / "session.toml").exists()


def test_a_file_that_is_something_else_is_left_alone(cli, small_bundle, tmp_path, measured):
    file = tmp_path / "mine.toml"
    file.write_text("name = 'mine'\n")
    assert "is no session file" in one_line(cli("tune-session", small_bundle, "--out", file))
    assert file.read_text() == "name = 'mine'\n"
    assert not measured


def test_a_winner_that_answers_otherwise_leaves_nothing(cli, small_bundle, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise GoldenError("the windowed graph answers otherwise than where it was made")

    monkeypatch.setattr(room, "tune_session", refuse)
    one_line(cli("tune-session", small_bundle, "--out", tmp_path / "s.toml"), status=1)
    assert not (tmp_path / "s.toml").exists()


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "much"])
def test_a_time_that_is_none(cli, small_bundle, tmp_path, seconds):
    line = one_line(cli("tune-session", small_bundle, "--out", tmp_path / "s.toml", "--seconds", seconds))
    assert "--seconds" in line
    assert not (tmp_path / "s.toml").exists()


def test_what_is_no_bundle(cli, tmp_path):
    assert "is no bundle" in one_line(cli("tune-session", tmp_path))


def test_it_runs_as_a_whole(cli, small_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "usable_cores", lambda: 1)  # fewer comparisons
    file = tmp_path / "session.toml"
    result = cli("tune-session", small_bundle, "--out", file, "--seconds", 0.02)
    assert result.status == 0, result
    assert set(tomllib.loads(file.read_text())["entries"][0]["graphs"]) == {"windowed", "streaming"}
