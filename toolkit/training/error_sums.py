"""Errors summed over windows, of each asset, step of the horizon and target apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.reports import Errors, Scores

Array = NDArray[np.float64]


@dataclass
class ErrorSums:
    """Sums of squared and absolute errors.

    Attributes:
        targets: names.
        scale: standard deviation of each target over the training rows, or None where it is not known.
        squared: `[assets, horizon, targets]`, raw.
        absolute: the same.
        windows: of each asset, int64 `[assets]`.
    """

    targets: tuple[str, ...]
    scale: Array | None
    squared: Array
    absolute: Array
    windows: NDArray[np.int64]

    @classmethod
    def empty(cls, targets: tuple[str, ...], scale: Array | None, assets: int, horizon: int) -> "ErrorSums":
        """Before the first window."""
        shape = (assets, horizon, len(targets))
        return cls(targets, scale, np.zeros(shape), np.zeros(shape), np.zeros(assets, np.int64))

    def add(self, error: Array, assets: NDArray[np.int64]) -> None:
        """Takes errors `[windows, horizon, targets]` and the asset of each window."""
        for asset in np.unique(assets):
            own = error[assets == asset]
            self.squared[asset] += np.square(own).sum(axis=0)
            self.absolute[asset] += np.abs(own).sum(axis=0)
            self.windows[asset] += len(own)

    def scores(self) -> Scores:
        """Over everything, and by target."""
        mse, mae = self._means((0, 1))  # [targets]
        return Scores(
            Errors(float(mse.mean()), float(mae.mean())),
            _errors(mse, mae, self.scale),
            {name: Errors(float(s), float(a)) for name, s, a in zip(self.targets, mse, mae, strict=True)},
        )

    def by_step(self) -> tuple[Errors, ...]:
        """For each step of the horizon, over targets."""
        mse, mae = self._means((0,))  # [horizon, targets]
        return tuple(_errors(s, a, self.scale) for s, a in zip(mse, mae, strict=True))

    def by_asset(self, names: tuple[str, ...]) -> dict[str, Errors]:
        """For each asset that has a window; `names` are those of all."""
        found = {}
        for place, name in enumerate(names):
            if self.windows[place]:
                count = self.windows[place] * self.squared.shape[1]
                mse, mae = (sums[place].sum(axis=0) / count for sums in (self.squared, self.absolute))
                found[name] = _errors(mse, mae, self.scale)
        return found

    def _means(self, axes: tuple[int, ...]) -> tuple[Array, Array]:
        count = self.windows.sum() * (self.squared.shape[1] if 1 in axes else 1)
        mse, mae = (sums.sum(axis=axes) / count for sums in (self.squared, self.absolute))
        return mse, mae


def _errors(mse: Array, mae: Array, scale: Array | None) -> Errors:
    """The mean over targets `[targets]`, in standard deviations where those are known."""
    unit = np.ones_like(mse) if scale is None else scale
    return Errors(float((mse / unit**2).mean()), float((mae / unit).mean()))
