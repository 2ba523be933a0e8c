"""The `gateway.toml` that `gateway init` writes, read back by the gateway."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.contract.signals import Channel, SignalSpec
from toolkit.edge import templates
from toolkit.edge.columns import columns_of
from toolkit.edge.settings import (
    Broker,
    InputSettings,
    JournalSettings,
    OutputSettings,
    Settings,
    SignalSettings,
    Tls,
    TrialSettings,
    WatchSettings,
)
from toolkit.edge.settings_file import check_against, load_settings
from toolkit.edge.templates import gateway_toml, topics_of

UNITS = {"temperature": "degC", "pressure": "Pa", "vibration": "mm/s"}
FEATURES = ("mean", "std", "peak")


def samples_signal(names: tuple[str, ...] = tuple(UNITS)) -> SignalSpec:
    channels = [Channel(f"{name}.{kind}", name, kind, UNITS.get(name, "")) for name in names for kind in FEATURES]
    return SignalSpec(tuple(channels), (channels[0].name,), 10.0, "samples", min_samples=3)


def rows_signal(names: tuple[str, ...] = ("temperature.mean", "OT")) -> SignalSpec:
    channels = [Channel(name, name, "value", "degC", "hold:3") for name in names]
    calendar = Channel("hour_sin", "calendar", "hour_sin")
    return SignalSpec((*channels, calendar), (names[0],), 60.0)


def text_of(signal: SignalSpec, bundle: str = "/opt/bundle") -> str:
    return gateway_toml(signal, Path(bundle), name="tiny", client_id="tiny-host")


def loaded(folder: Path, text: str) -> Settings:
    (folder / "gateway.toml").write_text(text, encoding="utf-8")
    return load_settings(folder / "gateway.toml", {"MQTT_PASSWORD": "s3cret"})


# gateway.toml


@pytest.mark.parametrize("signal", [samples_signal(), rows_signal()], ids=["samples", "rows"])
def test_the_gateway_takes_the_file_as_it_is(signal: SignalSpec, tmp_path: Path) -> None:
    found = loaded(tmp_path, text_of(signal))
    check_against(found, signal)
    assert found == Settings(
        "/opt/bundle",
        found.inputs,
        Broker(client_id="tiny-host"),
        OutputSettings(status_topic="tiny-host/status"),
    )


def test_raw_samples_come_a_variable_to_a_message(tmp_path: Path) -> None:
    found = loaded(tmp_path, text_of(samples_signal()))
    assert [one.topic for one in found.inputs] == [f"plant/{{asset}}/{name}" for name in UNITS]
    sources = [(name, source.field, source.unit) for one in found.inputs for name, source in one.columns.items()]
    assert sources == [(name, "value", unit) for name, unit in UNITS.items()]


def test_rows_come_whole_and_nobody_sends_the_calendar(tmp_path: Path) -> None:
    (one,) = loaded(tmp_path, text_of(rows_signal())).inputs
    assert one.topic == "plant/{asset}"
    assert {name: source.field for name, source in one.columns.items()} == {
        "temperature.mean": "temperature.mean",
        "OT": "OT",
    }


@pytest.mark.parametrize("signal", [samples_signal(), rows_signal()], ids=["samples", "rows"])
def test_what_is_shown_as_a_default_is_one(signal: SignalSpec, tmp_path: Path) -> None:
    text = text_of(signal)
    found = loaded(tmp_path, text)
    whole = loaded(tmp_path, re.sub(r"^#(?! )(?!username)(?!password)", "", text, flags=re.MULTILINE))
    assert whole.broker.tls == Tls()
    assert (whole.signal.patience_s, whole.signal.silence_s) == (signal.interval_s, 2 * signal.interval_s)
    broker = dataclasses.replace(whole.broker, tls=None)
    waits = dataclasses.replace(whole.signal, patience_s=None, silence_s=None)
    assert dataclasses.replace(whole, broker=broker, signal=waits) == found


def test_the_password_is_a_reference(tmp_path: Path) -> None:
    text = text_of(rows_signal()).replace("#password", "password").replace('#username = ""', 'username = "gateway"')
    assert loaded(tmp_path, text).broker.password == "s3cret"


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (templates.BROKER, Broker),
        (templates.TLS, Tls),
        (templates.INPUT, InputSettings),
        (templates.OUTPUT, OutputSettings),
        (templates.SIGNAL, SignalSettings),
        (templates.JOURNAL, JournalSettings),
        (templates.WATCH, WatchSettings),
        (templates.TRIAL, TrialSettings),
    ],
)
def test_every_setting_has_its_line(texts: dict[str, str], kind: type) -> None:
    assert list(texts) == [field.name for field in dataclasses.fields(kind)]
    text = text_of(rows_signal())
    for name in texts:
        assert re.search(rf"^(#?{name} = |#?\[\w+\.{name}\])", text, flags=re.MULTILINE), name


def test_top_level_settings_have_theirs() -> None:
    found = tomllib.loads(re.sub(r"^#(?! )", "", text_of(rows_signal()), flags=re.MULTILINE))
    names = {field.name for field in dataclasses.fields(Settings)} - {"limits", "inputs"}
    assert names <= set(found)


@pytest.mark.parametrize("signal", [samples_signal(), rows_signal()], ids=["samples", "rows"])
def test_the_examples_of_limits_may_be_used(signal: SignalSpec, tmp_path: Path) -> None:
    head, _, rest = text_of(signal).partition("# [limits.")
    limits, _, tail = rest.partition("\n\n")
    found = loaded(tmp_path, head + f"[limits.{limits}".replace("\n# ", "\n") + f"\n\n{tail}")
    check_against(found, signal)
    assert list(found.limits) == [column.name for column in columns_of(signal)]
    first = next(iter(found.limits.values()))
    assert (first.minimum, first.maximum, first.missing) == (-40.0, 120.0, signal.channels[0].gap)


NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12),
    min_size=1,
    max_size=4,
    unique=True,
)


@settings(deadline=None)
@given(NAMES, st.booleans(), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12))
def test_whatever_the_columns_are_called_the_file_means_them(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], samples: bool, unit: str
) -> None:
    names = [name for name in names if name not in ("calendar", "hour_sin")] or ["a"]
    if samples:
        signal = samples_signal(tuple(names))
    else:
        signal = SignalSpec(tuple(Channel(name, name, "value", unit) for name in names), (names[0],), 60.0)
    found = loaded(tmp_path_factory.getbasetemp(), text_of(signal, f"/opt/{'$' + unit.replace('/', '')}"))
    check_against(found, signal)
    assert [name for one in found.inputs for name in one.columns] == names
    if not samples:
        assert [source.field for source in found.inputs[0].columns.values()] == names
        assert {source.unit for source in found.inputs[0].columns.values()} == {unit}
    assert found.bundle == f"/opt/${unit.replace('/', '')}"


def test_a_dollar_sign_in_a_path_is_one(tmp_path: Path) -> None:
    assert loaded(tmp_path, text_of(rows_signal(), "/opt/${HOME}/a$$b")).bundle == "/opt/${HOME}/a$$b"


def test_a_gap_that_needs_the_reading_behind_it_is_a_break_here() -> None:
    channel = Channel("OT", "OT", "value", gap="interpolate:3")
    assert '# missing = "break"' in text_of(SignalSpec((channel,), ("OT",), 60.0))


def test_names_that_look_alike_in_a_topic_have_topics_of_their_own() -> None:
    topics = topics_of(samples_signal(("a b", "a/b", "a+b", "a-b")))
    assert list(topics) == [f"plant/{{asset}}/{level}" for level in ("a-b", "a-b-2", "a-b-3", "a-b-4")]
