"""The settings of `[features]`: what becomes of raw samples."""

from dataclasses import dataclass, field

from toolkit.contract.model_spec import LARGEST
from toolkit.errors import ConfigError
from toolkit.signal.features import FEATURES

LONGEST_S = 1e9


@dataclass(frozen=True)
class FeatureConfig:
    """`[features]` of `lstm-edge.toml`: where it is there, every channel column holds raw samples of one variable.

    A missing cell is no sample, so that variables may stand in one table at rates of their own.

    Attributes:
        interval_s: seconds of one interval, whole microseconds; intervals are aligned to UTC and closed on the left.
        default: the features of every variable that `variables` does not name, in this order.
        variables: features by variable.
        min_samples: an interval with fewer samples of a variable has no reading of its channels.
    """

    interval_s: float
    default: tuple[str, ...] = ("mean", "std", "peak")
    variables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    min_samples: int = 1

    def __post_init__(self) -> None:
        if not (1e-6 <= self.interval_s <= LONGEST_S and abs(self.interval_s * 1e6 - self.interval_us) < 1e-3):
            allowed = f"whole microseconds, at most {LONGEST_S:g} s"
            raise ConfigError("features.interval_s", got=self.interval_s, allowed=allowed)
        if not 1 <= self.min_samples <= LARGEST:
            raise ConfigError("features.min_samples", got=self.min_samples, allowed=f"1 or more, at most {LARGEST}")
        _check("features.default", self.default)
        for variable, names in self.variables.items():
            _check(f"features.variables.{variable}", names)

    @property
    def interval_us(self) -> int:
        """Microseconds of one interval."""
        return round(self.interval_s * 1e6)

    def of(self, variable: str) -> tuple[str, ...]:
        """The features of a variable, in their order."""
        return self.variables.get(variable, self.default)


def _check(where: str, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in FEATURES:
            raise ConfigError(f"{where}: no such feature", got=repr(name), allowed=", ".join(FEATURES))
        if names.count(name) > 1:
            raise ConfigError(f"{where} names a feature twice", got=repr(name), fix="name it once")
    if not names:
        raise ConfigError(f"{where} names no feature", allowed=", ".join(FEATURES))
