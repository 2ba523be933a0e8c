"""Whether settings are those of a bundle."""

import dataclasses

import edge_settings
import pytest

from toolkit.contract.signals import Channel
from toolkit.edge.settings import ColumnLimits, FieldSettings, InputSettings, Settings
from toolkit.edge.settings_file import check_against
from toolkit.errors import ConfigError


def bound(columns: dict, limits: dict | None = None) -> Settings:
    return Settings("b", (InputSettings("p/{asset}", columns),), limits=limits or {})


ALL = {name: FieldSettings(name) for name in ("temperature", "pressure", "speed")}


def test_settings_of_a_bundle_pass():
    check_against(bound(ALL, {"speed": ColumnLimits()}), edge_settings.SAMPLES)
    check_against(
        bound({**ALL, "temperature": FieldSettings("t", unit="degF"), "pressure": FieldSettings("p", "bar", "u")}),
        edge_settings.SAMPLES,
    )
    rows = {name: FieldSettings(name) for name in edge_settings.ROWS.channel_names}
    check_against(bound({**rows, "OT": FieldSettings("ot", unit="degF")}), edge_settings.ROWS)


@pytest.mark.parametrize(
    ("columns", "limits", "words"),
    [
        ({"temperature": FieldSettings("t")}, {}, "no input sends the column 'pressure'.*temperature, pressure, speed"),
        ({**ALL, "presure": FieldSettings("p")}, {}, "has not; got 'presure'.*did you mean 'pressure'"),
        (ALL, {"temprature": ColumnLimits()}, "limits names a column.*did you mean 'temperature'"),
        ({**ALL, "pressure": FieldSettings("p", unit="degC")}, {}, "unit of the column pressure.*'degC' cannot"),
        ({**ALL, "pressure": FieldSettings("p", unit="barg")}, {}, "pressure of the air"),
        ({**ALL, "speed": FieldSettings("s", unit="rpm")}, {}, "the bundle does not say"),
        ({**ALL, "speed": FieldSettings("s", unit_field="u")}, {}, "unit_field of the column speed"),
    ],
)
def test_settings_of_another_bundle_are_refused(columns, limits, words):
    with pytest.raises(ConfigError, match=words):
        check_against(bound(columns, limits), edge_settings.SAMPLES)


def test_a_statistic_that_an_offset_spoils_is_refused_in_another_scale():
    rows = {name: FieldSettings(name) for name in edge_settings.ROWS.channel_names}
    with pytest.raises(ConfigError, match=r"a rms in 'degF'"):
        check_against(bound({**rows, "temperature.rms": FieldSettings("r", unit="degF")}), edge_settings.ROWS)


def test_a_channel_that_is_named_after_another_statistic_is_not_turned_by_its_name():
    spread = Channel("T", "T", "std", "degC")
    signal = dataclasses.replace(edge_settings.ROWS, channels=(spread,), targets=("T",))
    check_against(bound({"T": FieldSettings("t")}), signal)
    for field in (FieldSettings("t", unit="degF"), FieldSettings("t", unit_field="u")):
        with pytest.raises(ConfigError, match="the feature std by another name"):
            check_against(bound({"T": field}), signal)
