"""The message that carries a forecast: UTF-8 JSON, one object.

    {"asset": "P1", "interval_end": "2026-03-01T10:01:00Z", "times": ["2026-03-01T10:01:00Z", ...],
     "forecast": {"pressure.mean": {"unit": "Pa", "values": [101325.5, ...], "quantiles": {"0.1": [...], ...}}},
     "bundle": {"name": "pump-station", "digest": "..."}, "quality": "good", "latency_ms": 3.1}

`times` are the starts of the intervals that are forecast (of rows: their times), one for each value. `quantiles` are
there where the model gives them. A classifier's message has `class`, `probabilities` and `logits` instead of `times`
and `forecast`. Outputs of a foreign module that no one has said the meaning of stand under `outputs`, as nested lists.
`quality` is `good`, or a list of what is to be known: see `changes.Flag`.

Nine digits are enough to read every float32 back as it was (IEEE 754-2019, 5.12.2).
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import QUANTILES
from toolkit.edge.answer_form import AnswerForm
from toolkit.edge.changes import Flag
from toolkit.errors import BundleError

Array = NDArray[np.float32]

NUMBER = "%.9g"
STAMPS_KEPT = 16
"""Assets whose intervals end together share the text of their times."""
NAMES_KEPT = 16_384
LATEST_US = 7_258_118_400_000_000
"""The year 2200, up to which a source's times are taken."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_text(time_us: int) -> str:
    """ISO 8601 in UTC, `2026-03-01T10:01:00Z`; six more digits where it is no whole second.

    Raises:
        OverflowError: beyond the year 9999.
    """
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat()[:-6] + "Z"


class ForecastWriter:
    """Writes the messages of one bundle.

    Args:
        form: of the answers.
        bundle: its name.
        digest: of its manifest.
        interval_us: between two rows.

    Attributes:
        not_finite: answers that were not written because a number of theirs is not finite.

    Raises:
        BundleError: a horizon that leads beyond the year 9999.
    """

    def __init__(self, form: AnswerForm, bundle: str, digest: str, interval_us: int) -> None:
        self.not_finite = 0
        self._form, self._interval_us = form, interval_us
        try:
            time_text(LATEST_US + (form.horizon + 1) * interval_us)
        except OverflowError as error:
            raise BundleError(
                f"the bundle {bundle} forecasts beyond the year 9999", got=f"{form.horizon} steps"
            ) from error
        about = _json({"name": bundle, "digest": digest})
        self._end = _plain(f',"bundle":{about},"quality":') + '%s,"latency_ms":%.3f}'
        self._forecast = _forecast_template(form)
        self._times = functools.lru_cache(STAMPS_KEPT)(self._times_text)
        self._asset = functools.lru_cache(NAMES_KEPT)(_json)

    def payload(
        self, asset: str, stamp_us: int, outputs: Mapping[str, Array], flags: int, latency_ms: float
    ) -> bytes | None:
        """The message for one asset.

        Args:
            asset: its name.
            stamp_us: of the row that the answer was made behind: microseconds since 1970 UTC.
            outputs: the asset's own, by name, without the axis of the assets.
            flags: bits of `Flag`.
            latency_ms: from the reading that completed the row to now.

        Returns:
            None, and one more is counted, where a number is not finite.
        """
        form = self._form
        if not all(np.isfinite(array).all() for array in outputs.values()):
            self.not_finite += 1
            return None
        text = f'{{"asset":{self._asset(asset)},{self._times(stamp_us)}'
        if form.horizon:
            text += self._forecast % tuple(self._figures(outputs))
        elif form.class_names:
            text += _classes(form.class_names, outputs[form.answer].reshape(-1).tolist())
        if form.further:
            parts = (f"{_json(name)}:{_nested(outputs[name])}" for name in form.further)
            text += f',"outputs":{{{",".join(parts)}}}'
        return (text + self._end % (quality_text(flags), latency_ms)).encode()

    def _figures(self, outputs: Mapping[str, Array]) -> list[float]:
        """All numbers of a forecast in the order of the template: by target, then the forecast before its quantiles."""
        form = self._form
        shape = (form.horizon, len(form.targets))
        forecast = outputs[form.answer].reshape(shape).T  # [targets, horizon]
        if form.levels:
            quantiles = outputs[QUANTILES].reshape(*shape, -1).transpose(1, 2, 0)  # [targets, quantiles, horizon]
            forecast = np.concatenate([forecast[:, None], quantiles], axis=1)
        figures: list[float] = forecast.reshape(-1).tolist()
        return figures

    def _times_text(self, stamp_us: int) -> str:
        end = f'"interval_end":"{time_text(stamp_us + self._interval_us)}"'
        if not self._form.horizon:
            return end
        steps = range(1, self._form.horizon + 1)
        return f'{end},"times":{_json([time_text(stamp_us + step * self._interval_us) for step in steps])}'


@functools.lru_cache(256)
def quality_text(flags: int) -> str:
    """The flags as JSON: `"good"`, or a list of their names in small letters."""
    names = [str(flag.name).lower() for flag in Flag if flag & flags]
    return _json(names or "good")


def _forecast_template(form: AnswerForm) -> str:
    """The text of all forecasts with a place for each number."""
    numbers = "[" + ",".join([NUMBER] * form.horizon) + "]"
    parts = []
    for target, unit in zip(form.targets, form.units, strict=True):
        part = _plain(f'{_json(target)}:{{"unit":{_json(unit)},"values":') + numbers
        if form.levels:
            part += ',"quantiles":{' + ",".join(f'"{level}":{numbers}' for level in form.levels) + "}"
        parts.append(part + "}")
    return ',"forecast":{' + ",".join(parts) + "}"


def _classes(names: Sequence[str], logits: list[float]) -> str:
    """The likeliest class, and the softmax of the logits.

    One number after the other: numpy's exponential may round otherwise in a longer array.
    """
    highest = max(logits)
    raised = [math.exp(logit - highest) for logit in logits]
    shares = [share / math.fsum(raised) for share in raised]
    told = _json(names[logits.index(highest)])
    parts = (
        f'"{kind}":{_by_name(names, figures)}' for kind, figures in (("probabilities", shares), ("logits", logits))
    )
    return f',"class":{told},{",".join(parts)}'


def _by_name(names: Sequence[str], figures: Sequence[float]) -> str:
    return "{" + ",".join(f"{_json(name)}:{NUMBER % one}" for name, one in zip(names, figures, strict=True)) + "}"


def _nested(array: Array) -> str:
    return "[" + ",".join(map(_nested, array)) + "]" if array.ndim else NUMBER % float(array)


def _plain(text: str) -> str:
    """Text that stands in a template as it is."""
    return text.replace("%", "%%")


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
