import dataclasses
import os
import tomllib
from pathlib import Path

import pytest

from toolkit.contract.manifest import MANIFEST
from toolkit.contract.session_reports import SessionSetting
from toolkit.errors import ConfigError, OutputError
from toolkit.runtime import session_file as room
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.session import SessionPolicy
from toolkit.runtime.session_file import (
    VARIABLE,
    SessionFile,
    check_session_place,
    policy_for,
    put_entry,
    read_session_file,
    session_entry,
    session_place,
    session_policy,
    session_toml,
    tuned_policies,
)

TUNED = SessionSetting("fp32", threads=1, arena=True, memory_pattern=False, optimisation="basic")
OTHER = SessionSetting("fp32")


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


@pytest.fixture(autouse=True)
def _no_file_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def file(tmp_path, bundle):
    place = tmp_path / "session.toml"
    put_entry(place, session_entry(bundle, {"windowed": TUNED, "streaming": OTHER}))
    return place


def test_what_was_put_is_found_again(bundle, file):
    assert tuned_policies(bundle, file) == {"windowed": TUNED, "streaming": OTHER}
    policy = SessionPolicy(threads=1, arena=True, memory_pattern=False, optimisation="basic")
    assert policy_for(bundle, "windowed", file) == (policy, "fp32")
    assert policy_for(bundle, "streaming", file) == (SessionPolicy(), "fp32")
    assert bundle.windowed(*policy_for(bundle, "windowed", file)) is not None


def test_without_a_file_the_default_is_run(bundle):
    assert tuned_policies(bundle) == {}
    assert policy_for(bundle, "windowed") == (SessionPolicy(), None)


def test_every_field_of_a_setting_reaches_the_policy():
    given = SessionSetting("int8", 3, True, True, False, "none")
    assert session_policy(given) == SessionPolicy(3, True, True, "none", memory_pattern=False)


def test_where_the_file_lies(tmp_path, monkeypatch):
    own = tmp_path / "config" / "lstm-edge" / "session.toml"
    assert session_place() == own
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert session_place() == tmp_path / "home" / ".config" / "lstm-edge" / "session.toml"
    monkeypatch.setenv(VARIABLE, "/etc/edge.toml")
    assert session_place() == Path("/etc/edge.toml")
    assert session_place(own) == own


def test_the_users_own_file_and_the_variables(bundle, tmp_path, monkeypatch):
    check_session_place(session_place(), bundle)
    put_entry(session_place(), session_entry(bundle, {"windowed": TUNED}))
    assert tuned_policies(bundle) == {"windowed": TUNED}
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named.toml"))
    with pytest.raises(ConfigError, match=r"there is no session file .*named\.toml; fix: .*tune-session"):
        tuned_policies(bundle)


def test_a_file_that_is_named_must_be_there(bundle, tmp_path):
    with pytest.raises(ConfigError, match="there is no session file"):
        policy_for(bundle, "windowed", tmp_path / "none.toml")


def test_another_bundles_entry_is_passed_over(bundle, file, folder):
    manifest = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(manifest + "\n")  # the same bundle but for its digest
    assert tuned_policies(load_bundle(folder), file) == {}


@pytest.mark.parametrize("changed", [{"cpu": "Abacus"}, {"cpu_features": ["beads"]}])
def test_another_machines_entry_is_passed_over(bundle, file, monkeypatch, changed):
    about = room.machine()
    monkeypatch.setattr(room, "machine", lambda: {**about, **changed})
    assert tuned_policies(bundle, file) == {}


def test_an_entry_for_more_cores_than_there_are_is_passed_over(bundle, tmp_path, monkeypatch):
    place = tmp_path / "many.toml"
    put_entry(place, session_entry(bundle, {"windowed": dataclasses.replace(TUNED, threads=3)}))
    monkeypatch.setattr(room, "usable_cores", lambda: 3)
    assert tuned_policies(bundle, place)["windowed"].threads == 3
    monkeypatch.setattr(room, "usable_cores", lambda: 2)
    assert tuned_policies(bundle, place) == {}


def test_an_entry_replaces_its_own_and_keeps_the_others(bundle, file):
    entry = session_entry(bundle, {"windowed": TUNED})
    strangers = [dataclasses.replace(entry, **change) for change in (
        {"manifest_sha256": "0" * 64}, {"cpu": "Abacus"}, {"cpu_features_sha256": "1" * 64},
    )]  # fmt: skip
    for stranger in strangers:
        put_entry(file, stranger)
    put_entry(file, session_entry(bundle, {"windowed": OTHER}))
    assert tuned_policies(bundle, file) == {"windowed": OTHER}
    found = read_session_file(file).entries
    assert len(found) == 4
    assert all(stranger in found for stranger in strangers)


@pytest.mark.parametrize("name", ['"quoted" \\ back', "tab\tline\nbell\x07del\x7f", "Grüße ✓ 😀", "half \ud83d", ""])
def test_any_name_survives(bundle, name):
    entry = dataclasses.replace(session_entry(bundle, {"windowed": TUNED}), bundle=name)
    text = session_toml(SessionFile((entry,)))
    [found] = tomllib.loads(text.encode().decode())["entries"]
    assert found["bundle"] == name.replace("\ud83d", "?")


DAMAGES = {
    "not TOML": (lambda text: text[:-9], r"is not TOML; got .*; fix: remove it"),
    "not UTF-8": (lambda text: text.encode() + b"#\xff", "is not TOML"),
    "empty": (lambda text: "", "no session file that this toolkit reads; got schema None; allowed: 'session/1'"),
    "another version": (lambda text: text.replace("session/1", "session/9"), "got schema 'session/9'"),
    "an unknown key": (lambda text: text.replace("arena", "arenas", 1), "unknown key; got 'arenas'; .*'arena'"),
    "a wrong type": (
        lambda text: text.replace("threads = 1", "threads = true", 1),
        "threads; got True; .*whole number",
    ),
    "a missing key": (lambda text: text.replace("cpu = ", "#cpu = ", 1), "lacks the key 'cpu'"),
    "no threads": (lambda text: text.replace("threads = 1", "threads = 0", 1), "threads; got 0; allowed: 1 to 1024"),
    "an unknown level": (lambda text: text.replace('"basic"', '"bold"'), "optimisation; got bold; allowed: all, basic"),
    "an unknown graph": (lambda text: text.replace("graphs.windowed", "graphs.sideways"), "got sideways; allowed: win"),
    "a precision that the bundle has not": (
        lambda text: text.replace('precision = "fp32"', 'precision = "int8"', 1),
        "got windowed in int8; allowed: windowed in fp32, streaming in fp32; fix",
    ),
    "an entry twice": (lambda text: text + text[text.index("[[entries]]") :], "holds two entries of tiny on "),
    "too large": (lambda text: text + "#" * room.MAX_BYTES, "too large; allowed: "),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line(bundle, file, damage):
    change, words = DAMAGES[damage]
    content = change(file.read_text())
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=words) as refused:
        tuned_policies(bundle, file)
    assert str(file) in str(refused.value)


def test_an_entry_without_graphs(bundle, file):
    text = file.read_text()
    file.write_text(text[: text.index("[entries.graphs.windowed]")] + "graphs = {}\n")
    with pytest.raises(ConfigError, match="graphs; got none; allowed: windowed, streaming"):
        tuned_policies(bundle, file)


def test_a_pipe_is_not_waited_for(bundle, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is no file"):
        tuned_policies(bundle, tmp_path / "pipe")


def test_never_into_a_bundle(folder, bundle, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    own = load_bundle(folder)
    for place in (folder / "session.toml", link / "session.toml", folder / "deeper" / "session.toml"):
        with pytest.raises(OutputError, match="lies within a bundle; fix: name a place outside"):
            check_session_place(place, own)
    with pytest.raises(OutputError, match="lies within a bundle"):
        check_session_place(folder / "session.toml", bundle)  # another's


def test_places_that_cannot_be_written_and_files_that_are_something_else(bundle, tmp_path, file):
    with pytest.raises(OutputError, match="is no folder"):
        check_session_place(tmp_path / "none" / "session.toml", bundle)
    with pytest.raises(OutputError, match="a folder of that name"):
        check_session_place(tmp_path, bundle)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    with pytest.raises(ConfigError, match="is no session file"):
        check_session_place(tmp_path / "pyproject.toml", bundle)
    check_session_place(file, bundle)


def test_a_link_to_the_file_stays_one(bundle, file, tmp_path):
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    put_entry(link, session_entry(bundle, {"windowed": OTHER}))
    assert link.is_symlink()
    assert tuned_policies(bundle, file) == {"windowed": OTHER}
