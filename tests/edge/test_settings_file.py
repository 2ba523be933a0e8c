"""`gateway.toml`: what it may say, and the line that answers everything else."""

import re
from pathlib import Path

import edge_settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.edge.settings import (
    Broker,
    ColumnLimits,
    FieldSettings,
    InputSettings,
    MissingPolicy,
    OutputSettings,
    Settings,
    Tls,
    missing_policy,
)
from toolkit.edge.settings_file import check_against, load_settings, warnings_of
from toolkit.errors import ConfigError

INPUT = '[[input]]\ntopic = "plant/{asset}/t"\n[input.columns]\ntemperature = "value"\n'
OTHER = '[[input]]\ntopic = "plant/{asset}/p"\n[input.columns]\npressure = "value"\n'
BUNDLE = 'bundle = "b"\n'
HEAD = '[[input]]\ntopic = "a/{asset}"\n'
COLUMNS = f"{HEAD}[input.columns]\n"
FULL = """
bundle = "bundles/pump"
session_file = "session.toml"
max_payload_bytes = 1000

[broker]
host = "broker.plant"
port = 8883
client_id = "gw-${SITE}"
username = "gateway"
password = "${MQTT_PASSWORD}"
receive_maximum = 65535
reconnect_max_s = 120

[broker.tls]
ca_file = "ca.pem"
certificate_file = "/etc/gw.pem"
key_file = "gw.key"

[[input]]
topic = "plant/{asset}/temperature"
time_format = "milliseconds"
sequence = "seq"
qos = 2
[input.columns]
temperature = "value"

[[input]]
topic = "all"
asset = "machine"
samples = "data"
[input.columns]
pressure = { field = "p.value", unit = "bar", unit_field = "p.unit" }
"speed" = { field = "speed" }

[output]
topic = "forecast/{asset}"
status_topic = "status/$${SITE}"
when_full = "block"

[signal]
lateness_s = 2
silence_s = 30.5
graph = "windowed"

[limits.temperature]
minimum = -40
maximum = 200.5
missing = "hold:3"

[journal]
folder = "journal"
commit_interval_s = 0.5

[watch]
port = 0
log_level = "debug"

[trial]
time_s = 5
"""


def write(folder: Path, text: str) -> Path:
    place = folder / "gateway.toml"
    place.write_text(text, encoding="utf-8")
    return place


def refusal(folder: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(folder, text), environment)
    line = str(caught.value)
    assert "\n" not in line
    return line


def with_key(text: str, line: str) -> str:
    return text.replace("[input.", f"{line}\n[input.")


def with_input(text: str) -> str:
    return f'bundle = "b"\n{text}\n{INPUT}'


def test_everything_that_a_file_may_say_is_read(tmp_path):
    text = FULL.replace("$${SITE}", "$$ok")
    settings = load_settings(write(tmp_path, text), {"SITE": "north", "MQTT_PASSWORD": "geheim"})
    assert settings.bundle == str(tmp_path / "bundles/pump")
    assert settings.session_file == str(tmp_path / "session.toml")
    assert settings.journal.folder == str(tmp_path / "journal")
    assert settings.broker.tls == Tls(str(tmp_path / "ca.pem"), "/etc/gw.pem", str(tmp_path / "gw.key"))
    assert (settings.broker.client_id, settings.broker.password) == ("gw-north", "geheim")
    assert (settings.broker.port, settings.broker.receive_maximum, settings.broker.reconnect_max_s) == (
        8883,
        65535,
        120.0,
    )
    first, second = settings.inputs
    assert first == InputSettings(
        "plant/{asset}/temperature",
        {"temperature": FieldSettings("value")},
        time_format="milliseconds",
        sequence="seq",
        qos=2,
    )
    assert second.columns == {
        "pressure": FieldSettings("p.value", "bar", "p.unit"),
        "speed": FieldSettings("speed"),
    }
    assert (second.asset, second.samples, second.topic) == ("machine", "data", "all")
    assert settings.output == OutputSettings(status_topic="status/$ok", when_full="block")
    assert settings.limits == {"temperature": ColumnLimits(-40.0, 200.5, "hold:3")}
    assert (settings.signal.lateness_s, settings.signal.silence_s, settings.signal.patience_s) == (2.0, 30.5, None)
    assert (settings.watch.port, settings.watch.log_level, settings.trial.time_s) == (0, "debug", 5.0)
    check_against(settings, edge_settings.SAMPLES)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (f'bundle = "a\\u0000"\n{INPUT}', "bundle"),
        (f'{BUNDLE}{INPUT}[journal]\nfolder = "\\u0000"', "journal: folder"),
        (f'{BUNDLE}{INPUT}[broker.tls]\nserver_name = "${{NAME}}"', "broker: tls: server_name"),
    ],
)
def test_no_text_holds_a_nul(tmp_path, text, where):
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(f"{where} holds a NUL; allowed: text without one")):
        load_settings(path, {"NAME": "secret\0"})


def test_what_a_file_leaves_out_has_its_default(tmp_path):
    settings = load_settings(write(tmp_path, f'bundle = "/opt/b"\n{INPUT}'), {})
    columns = {"temperature": FieldSettings("value")}
    assert settings == Settings("/opt/b", (InputSettings("plant/{asset}/t", columns),))


def test_a_byte_order_mark_of_a_windows_editor_is_passed_over(tmp_path):
    place = tmp_path / "gateway.toml"
    place.write_bytes(b"\xef\xbb\xbf" + with_input("").encode())
    assert load_settings(place, {}).bundle == str(tmp_path / "b")


def test_the_environment_comes_before_the_credentials_and_these_lose_their_last_newline(tmp_path):
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "mqtt.password").write_text("ge$${heim}\n")
    (tmp_path / "credentials" / "USER").write_text("of the credentials")
    text = with_input('[broker]\nusername = "${USER}"\npassword = "a${mqtt.password}z"')
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"), "USER": "of the environment"}
    broker = load_settings(write(tmp_path, text), environment).broker
    assert (broker.username, broker.password) == ("of the environment", "age$${heim}z")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${MISSING}", r"broker: password: \$\{MISSING\} is not there.*LoadCredential=MISSING"),
        ("${../secret}", "names nothing"),
        ("${}", "names nothing"),
        ("geheim${", "names nothing"),
        ("geheim${A", "names nothing"),
    ],
)
def test_a_reference_that_leads_nowhere_names_key_and_variable_and_no_value(tmp_path, text, words):
    (tmp_path / "secret").write_text("geheim")
    (tmp_path / "credentials").mkdir()
    line = refusal(
        tmp_path,
        with_input(f'[broker]\npassword = "{text}"'),
        CREDENTIALS_DIRECTORY=str(tmp_path / "credentials"),
        A="geheim",
    )
    assert re.search(words, line)
    assert "geheim" not in line


@pytest.mark.parametrize("content", [b"\xff", b"x" * 70_000, None])
def test_a_credential_that_cannot_be_read_is_named_without_its_value(tmp_path, content):
    place = tmp_path / "PASSWORD"
    place.mkdir() if content is None else place.write_bytes(content)
    text = with_input('[broker]\npassword = "${PASSWORD}"')
    line = refusal(tmp_path, text, CREDENTIALS_DIRECTORY=str(tmp_path))
    assert "the credential PASSWORD" in line
    assert "xx" not in line


@pytest.mark.parametrize(
    "text",
    [
        '[watch]\nlog_level = "${SECRET}"',
        '[watch]\naddress = "${SECRET}\\u0000"',
        '[broker]\nport = "${SECRET}"',
        '[broker]\nhost = "${SECRET}\\n"',
        '[output]\ntopic = "${SECRET}/#"',
        '[output]\nstatus_topic = "${SECRET}/{asset}"',
        '[limits.temperature]\nmissing = "${SECRET}"',
        '[broker]\npassword = "\\u0000${SECRET}"',
    ],
)
def test_a_value_that_was_fetched_is_shown_by_no_refusal(tmp_path, text):
    line = refusal(tmp_path, with_input(text), SECRET="geheim")
    assert "geheim" not in line


def test_settings_that_are_shown_show_no_secret(tmp_path):
    text = with_input('[broker]\npassword = "in clear"\nusername = "${USER}"')
    shown = repr(load_settings(write(tmp_path, text), {"USER": "geheim"}))
    assert "geheim" not in shown
    assert "in clear" not in shown
    assert "'${USER}'" in shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[broker]\nprt = 1", "unknown key.*did you mean 'port'"),
        ("[brocker]\nport = 1", "unknown key.*did you mean 'broker'"),
        ('[broker]\nport = "1883"', "broker: port; got '1883'; allowed: a whole number"),
        ("[broker]\nport = true", "a whole number"),
        ("[broker]\nport = 0", r"broker.port; got 0; allowed: 1 to 65535"),
        ("[broker]\nport = 65536", "broker.port"),
        ("[broker]\nport = 99999999999999999999999", "broker.port"),
        ("[broker]\nreceive_maximum = 0", "broker.receive_maximum.*1 to 65535"),
        ("[broker]\nkeepalive_s = 0", "broker.keepalive_s"),
        ("[broker]\nsession_expiry_s = 0", "broker.session_expiry_s.*4294967295"),
        ("[broker]\nconnect_timeout_s = 0", "broker.connect_timeout_s"),
        ("[broker]\nconnect_timeout_s = inf", "a finite number"),
        ("[broker]\nconnect_timeout_s = nan", "a finite number"),
        ("[broker]\nreconnect_min_s = 0", "broker.reconnect_min_s"),
        ("[broker]\nreconnect_min_s = 10\nreconnect_max_s = 5", "broker.reconnect_max_s; got 5.0; allowed: 10 to"),
        ('[broker]\nhost = ""', "broker.host"),
        ('[broker.tls]\nkey_file = "k"', "certificate_file and key_file, or neither"),
        ('[output]\nwhen_full = "drop"', "drop_oldest, drop_newest, block"),
        ('[output]\ntopic = "a/+"', "output.topic has a wildcard"),
        ('[output]\nstatus_topic = "a/{asset}"', "output.status_topic"),
        ("[output]\nmax_messages = 0", "output.max_messages"),
        ("[output]\nmax_bytes = -1", "output.max_bytes"),
        ("[output]\nmax_age_s = 0", "output.max_age_s"),
        ("[signal]\nlateness_s = -1", "signal.lateness_s"),
        ("[signal]\nlateness_s = 1e300", "signal.lateness_s"),
        ("[signal]\npatience_s = -0.1", "signal.patience_s"),
        ("[signal]\nsilence_s = 0", "signal.silence_s"),
        ("[signal]\nmax_ahead_s = 0", "signal.max_ahead_s"),
        ("[signal]\nmax_assets = 0", "signal.max_assets"),
        ("[signal]\nmax_open_readings = 0", "signal.max_open_readings"),
        ('[signal]\ngraph = "both"', "auto, windowed, streaming"),
        ("[journal]\ncommit_interval_s = 0", "journal.commit_interval_s"),
        ("[journal]\nforecast_wait_s = -1", "journal.forecast_wait_s"),
        ("[watch]\nport = -1", "watch.port"),
        ('[watch]\naddress = ""', "watch.address"),
        ("[watch]\nassets_in_metrics = -1", "watch.assets_in_metrics"),
        ("[trial]\ntime_s = 0", "trial.time_s"),
        ("[trial]\nmemory_bytes = 0", "trial.memory_bytes"),
        ("[limits.temperature]\nminimum = 5\nmaximum = 3", "limits.temperature: minimum above maximum; got 5.0"),
        ('[limits.temperature]\nmissing = "keep"', "limits.temperature.missing; got 'keep'; allowed: break, hold:N"),
        ('[limits.temperature]\nmissing = "hold:0"', "limits.temperature.missing"),
        ('[limits.temperature]\nmissing = "interpolate:3"', "limits.temperature.missing"),
        ('[limits.temperature]\nmissing = "impute:nan"', "limits.temperature.missing"),
        ('[limits.temperature]\nmaximum = 3\nmissing = "impute:4"', "a value from -inf to 3.0"),
        ("[limits.temperature]\nminium = 5", "did you mean 'minimum'"),
        ("[limits.pressure.mean]\nminimum = 5", 'in quotes: "pressure.mean"'),
        ("max_payload_bytes = 0", "max_payload_bytes; got 0; allowed: 1 to 268435455"),
        ("input = 3", "Cannot overwrite|no TOML"),
    ],
)
def test_a_value_that_cannot_be_is_answered_by_one_line(tmp_path, text, words):
    assert re.search(words, refusal(tmp_path, with_input(text)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (INPUT, "lacks the key 'bundle'"),
        (f'bundle = ""\n{INPUT}', "bundle; got ''"),
        ('bundle = "b"', "lacks the key 'input'"),
        ('bundle = "b"\ninput = []', r"no \[\[input\]\]"),
        (BUNDLE + INPUT.replace("input", "inputs"), "mean 'input'"),
        (BUNDLE + HEAD, "lacks the key 'columns'"),
        (BUNDLE + HEAD + "columns = {}", "at least one column"),
        (BUNDLE + COLUMNS + "t = 3", "columns.t; got 3"),
        (BUNDLE + COLUMNS + 't = ""', "input.columns.t; got ''"),
        (BUNDLE + COLUMNS + 't = {feild = "x"}', "mean 'field'"),
        (BUNDLE + COLUMNS + 'pressure.mean = "x"', 'quotes: "pressure.mean"'),
        (BUNDLE + COLUMNS + 'a = "v"\nb = "v"', "two columns are read from one"),
        (BUNDLE + INPUT + INPUT, "two inputs have a topic in common"),
        (BUNDLE + INPUT + with_key(OTHER.replace("{asset}/p", "pump/t"), 'asset = "a"'), "in common"),
        (BUNDLE + INPUT + OTHER.replace("pressure", "temperature"), "a column comes from two inputs"),
        (BUNDLE + INPUT.replace("{asset}", "a"), "names its asset once"),
        (BUNDLE + with_key(INPUT, 'asset = "a"'), "names its asset once"),
        (BUNDLE + with_key(INPUT, 'time = ""'), "input.time; got ''"),
        (BUNDLE + with_key(INPUT, "qos = 3"), "input.qos; got 3; allowed: 0 to 2"),
        (BUNDLE + with_key(INPUT, 'time_format = "unix"'), "iso8601, seconds"),
        (BUNDLE + INPUT + '[output]\ntopic = "plant/{asset}/t"', "would read what it writes"),
        (BUNDLE + INPUT + '[output]\nstatus_topic = "plant/gw/t"', "would read what it writes"),
    ],
)
def test_inputs_that_do_not_fit_are_answered_by_one_line(tmp_path, text, words):
    assert re.search(words, refusal(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"bundle = ", "is no TOML"),
        (b"bundle = '\xff'", "is no UTF-8; got byte 10"),
        (b"a = " + b"[" * 100_000, "is no TOML"),
        (b"a = " + b"9" * 10_000, "is no TOML"),
        (b"#" * ((1 << 20) + 1), "is too large"),
        (None, "is no plain file"),
    ],
)
def test_a_file_that_is_no_toml_is_answered_by_one_line(tmp_path, content, words):
    place = tmp_path / "gateway.toml"
    place.mkdir() if content is None else place.write_bytes(content)
    for reading in (load_settings, warnings_of):
        with pytest.raises(ConfigError, match=words):
            reading(place)


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*No such file.*gateway init BUNDLE"):
        load_settings(tmp_path / "gateway.toml", {})


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ('password = "geheim"\nhost = "localhost"', 0o600, ["in clear; write"]),
        ('password = "geheim"', 0o644, ["in clear; write", "read by everybody"]),
        ('password = "geheim"\nhost = "far"', 0o640, ["in clear; write", "crosses the network"]),
        ('password = "${PASSWORD}"\nhost = "far"\n[broker.tls]', 0o644, []),
        ('password = "${PASSWORD}"', 0o644, []),
        ("port = 1", 0o644, []),
    ],
)
def test_unwise_passwords_are_warned_of_without_showing_them(tmp_path, text, mode, words):
    place = write(tmp_path, with_input(f"[broker]\n{text}"))
    place.chmod(mode)
    found = warnings_of(place)
    assert len(found) == len(words)
    for line, word in zip(found, words, strict=True):
        assert word in line
        assert "geheim" not in line


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("break", MissingPolicy("break")),
        ("hold:3", MissingPolicy("hold", 3)),
        ("impute:-4.5e1", MissingPolicy("impute", value=-45.0)),
    ],
)
def test_policies_for_missing_readings(text, policy):
    assert missing_policy(text, "there") == policy


@settings(deadline=None)
@given(st.one_of(st.text(), st.text().map("impute:{}".format), st.floats().map("impute:{}".format)))
def test_any_text_is_a_policy_with_a_finite_value_or_a_refusal(text):
    try:
        assert abs(missing_policy(text, "there").value) < 3.5e38
    except ConfigError as error:
        assert str(error).startswith("there; got ")


def test_the_password_is_no_part_of_what_a_broker_shows():
    assert "geheim" not in repr(Broker(password="geheim"))
