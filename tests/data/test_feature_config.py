import pytest

from toolkit.data.feature_config import FeatureConfig
from toolkit.errors import ConfigError


def test_a_variable_has_its_own_features_or_those_of_all():
    config = FeatureConfig(0.1, ("mean",), {"vibration": ("rms", "kurtosis")})
    assert config.of("vibration") == ("rms", "kurtosis")
    assert config.of("pressure") == ("mean",)
    assert config.interval_us == 100_000


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"interval_s": 0.0}, "features.interval_s; got 0.0; allowed: whole microseconds"),
        ({"interval_s": -60.0}, "features.interval_s; got -60.0"),
        ({"interval_s": float("nan")}, "features.interval_s; got nan"),
        ({"interval_s": 2e9}, "features.interval_s; got 2000000000.0"),
        ({"interval_s": 1 / 3}, "features.interval_s; got 0.333"),
        ({"min_samples": 0}, "features.min_samples; got 0; allowed: 1 or more"),
        ({"default": ("median",)}, "features.default: no such feature; got 'median'; allowed: mean, std"),
        ({"default": ()}, "features.default names no feature"),
        ({"variables": {"p": ("mean", "mean")}}, "features.variables.p names a feature twice; got 'mean'"),
        ({"variables": {"p": ()}}, "features.variables.p names no feature"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        FeatureConfig(**{"interval_s": 60.0, **settings})
