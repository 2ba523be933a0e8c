import pytest
from sensor_tables import data_config

from toolkit.errors import ConfigError


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window_length": 0}, "data.window_length; got 0; allowed: 1 or more"),
        ({"horizon": -1}, "data.horizon; got -1"),
        ({"stride": 0}, "data.stride; got 0"),
        ({"targets": ()}, "data.targets names no column; fix: .*--target"),
        ({"interval_s": 0.0}, "data.interval_s; got 0.0; allowed: more than 0"),
        ({"interval_s": float("nan")}, "data.interval_s; got nan"),
        ({"gaps": {"p": "hold"}}, "data.gaps.p; got 'hold'; allowed: break, hold:N or interpolate:N"),
        ({"season": 0}, "data.season; got 0; allowed: 1 to the window length, 12"),
        ({"season": 13}, "data.season; got 13"),
        ({"split": (0.7, 0.3)}, r"data.split; got \[0.7, 0.3\]; allowed: three positive fractions"),
        ({"split": (0.7, 0.3, 0.0)}, "data.split"),
        ({"split": (0.5, 0.3, 0.1)}, "data.split"),
        ({"split": (float("nan"), 0.5, 0.5)}, "data.split"),
        ({"borders": (5, 5, 9)}, r"data.borders; got \[5, 5, 9\]; allowed: three rising row numbers"),
        ({"borders": (5, 9)}, "data.borders"),
        ({"borders": (0, 5, 9)}, "data.borders"),
    ],
)
def test_a_setting_out_of_range_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        data_config("plant.csv", **changes)


def test_borders_take_the_place_of_the_split():
    assert data_config("plant.csv", borders=(5, 7, 9), split=()).borders == (5, 7, 9)


def test_a_season_as_long_as_the_window_is_allowed():
    assert data_config("plant.csv", season=12).season == 12
