import json
import os

import pytest

from toolkit.contract.signals import Channel
from toolkit.errors import ConfigError
from toolkit.release.signal_file import MAX_BYTES, read_signal

PLAIN = """
interval_s = 60
channels = ["temperature.mean", "temperature.std", "pressure"]
targets = ["pressure"]

[units]
pressure = "Pa"
"temperature.mean" = "°C"
"""


@pytest.fixture
def signal(tmp_path):
    """Reads a signal file of that content."""

    def read(content, name="signal.toml"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_signal(path)

    return read


def test_names_units_targets_and_interval(signal):
    spec = signal(PLAIN)
    assert spec.channels == (
        Channel("temperature.mean", "temperature", "mean", "°C"),
        Channel("temperature.std", "temperature", "std"),
        Channel("pressure", "pressure", "value", "Pa"),
    )
    assert (spec.targets, spec.interval_s) == (("pressure",), 60.0)


def test_targets_and_units_may_be_left_out(signal):
    spec = signal('interval_s = 0.5\nchannels = ["a"]')
    assert (spec.channel_names, spec.targets, spec.interval_s) == (("a",), (), 0.5)


def test_the_same_as_json(signal):
    text = json.dumps(
        {
            "interval_s": 60,
            "channels": ["temperature.mean", "temperature.std", "pressure"],
            "targets": ["pressure"],
            "units": {"pressure": "Pa", "temperature.mean": "°C"},
        }
    )
    assert signal("\n " + text, "signal.json") == signal(PLAIN)


def with_line(line):
    return PLAIN.replace("interval_s = 60", f"interval_s = 60\n{line}")


WRONG = {
    "nothing": ("", "lacks the key 'channels'"),
    "no channel": ("interval_s = 1\nchannels = []", "channels; got none"),
    "not TOML": ("channels: [a]", "neither TOML nor JSON"),
    "cut JSON": ('{"channels": ["a"', "neither TOML nor JSON"),
    "a JSON list": ("[1, 2]", "neither TOML nor JSON"),
    "nested without end": ('{"a":' * 100_000, "neither TOML nor JSON"),
    "not text": (b"\xff\xfe\x00i", "neither TOML nor JSON"),
    "an unknown key": (with_line("interval = 60"), "unknown key; got 'interval'.*did you mean 'interval_s'"),
    "an interval in words": ('interval_s = "1 min"\nchannels = ["a"]', "interval_s; got '1 min'; allowed: a number"),
    "no time between rows": ('interval_s = 0\nchannels = ["a"]', "interval must be positive"),
    "an endless interval": ('interval_s = inf\nchannels = ["a"]', "allowed: a finite number"),
    "one name for all": ('interval_s = 1\nchannels = "a"', "channels; got 'a'; allowed: a list"),
    "a number for a name": ("interval_s = 1\nchannels = [1]", r"channels\[0\]; got 1; allowed: text"),
    "a channel twice": ('interval_s = 1\nchannels = ["a", "a"]', "a channel stands twice; got a"),
    "a target that is no channel": (
        'interval_s = 1\nchannels = ["a"]\ntargets = ["b"]',
        "a target is no channel; got b",
    ),
    "units of no channel": (
        PLAIN + '"presure" = "Pa"',
        "units of a channel.*got 'presure'; fix: did you mean 'pressure'",
    ),
    "a number for a unit": (PLAIN.replace('"Pa"', "5"), "units.pressure; got 5; allowed: text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(name, signal):
    content, match = WRONG[name]
    with pytest.raises(ConfigError, match=match) as caught:
        signal(content)
    assert "signal.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_a_folder_or_a_pipe(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml; got No such file"):
        read_signal(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is no plain file"):
        read_signal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is no plain file"):
        read_signal(tmp_path / "pipe")


def test_a_file_of_any_size_is_not_read(tmp_path):
    path = tmp_path / "signal.toml"
    path.touch()
    os.truncate(path, 10 << 30)  # sparse
    with pytest.raises(ConfigError, match=f"too large; got {10 << 30} bytes; allowed: {MAX_BYTES} bytes"):
        read_signal(path)
