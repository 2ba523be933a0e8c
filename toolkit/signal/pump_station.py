"""One simulated pump station: a pump that fills a tank from which consumers draw, and the sensors on it.

A demonstration and no evidence (see `plant`). The physics, at steps of 10 seconds:

- Demand follows the hour, the shift and the weekday, and wanders around that.
- The pump runs between a low and a high level (hysteresis). With the tank's volume `V` in minutes of full flow and
  demand `u` as a share of full flow, one cycle lasts `V / (1 - u) + V / u` minutes: here about 20 to 45.
- Temperature follows ambient air and flow as a first-order lag: `dT/dt = (ambient + rise * flow - T) / tau`.
- Suction pressure (absolute) falls with the square of the flow, around 101 325 Pa and the weather.
- Vibration (severity as a transmitter gives it, mm/s) rises with load, with each start and stop and with slow wear,
  and oscillates with the shaft's slip.

Every random number is keyed by seed, asset, purpose and UTC day: asset 3 is the same machine among 4 assets and
among 400, and a longer run begins with the shorter one.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import ConfigError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Float32Array = NDArray[np.float32]

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
STEP_S = 10
"""Seconds per step of the physics: short against every time constant but a valve's."""
STEP_US = STEP_S * SECOND_US
STEPS_PER_DAY = DAY_US // STEP_US

DEFAULT_START_US = 1_767_571_200 * SECOND_US
"""2026-01-05T00:00:00Z, a Monday."""
LATEST_START_US = 7_258_118_400 * SECOND_US - MINUTE_US
"""2199-12-31T23:59:00Z."""
MAX_DAYS = 1096.0
"""Three years: the physics of one asset is held in memory as a whole."""

FAULTS = ("none", "bearing_wear", "cavitation")
"""The labels by their numbers."""
BEARING_WEAR, CAVITATION = 1, 2

_HOURLY_DEMAND = {
    # Share of the pump's full flow at each full hour: the town's two peaks over a works with three shifts.
    "workday": "17 16 16 16 19 28 44 56 58 54 51 49 50 51 48 44 43 46 52 55 48 38 29 21",
    "saturday": "18 16 15 15 16 19 27 36 43 47 46 43 40 36 33 31 31 34 38 38 34 29 24 20",
    "sunday": "17 16 15 14 14 15 17 22 28 33 35 35 34 31 28 26 26 29 34 36 33 28 23 19",
}
_WEEK = np.array(
    [int(share) / 100 for day in ["workday"] * 5 + ["saturday", "sunday"] for share in _HOURLY_DEMAND[day].split()]
)  # [168] from Monday 00:00 UTC
_PURPOSES = (
    *("machine", "faults", "dropouts", "demand", "air", "weather", "turbulence"),
    *("temperature", "pressure", "vibration"),
)
"""Each has its own stream of random numbers; a new one goes to the end, or every table changes."""
_MONDAY_US = 4 * DAY_US  # 1970-01-05
_KNOTS_PER_DAY = 144  # the wandering quantities change every ten minutes, linearly between


@dataclass(frozen=True)
class Variable:
    """One measured quantity: its unit and how many samples its sensor gives per step of the physics."""

    name: str
    unit: str
    samples_per_step: int


TEMPERATURE = Variable("temperature", "degC", 1)
PRESSURE = Variable("pressure", "Pa", 10)
VIBRATION = Variable("vibration", "mm/s", 100)
VARIABLES = (TEMPERATURE, PRESSURE, VIBRATION)


@dataclass(frozen=True)
class Machine:
    """In what one asset differs from another; drawn evenly out of `_RANGES`."""

    tank_min: float
    demand_scale: float
    demand_shift_h: float
    ambient_degc: float
    ambient_swing_degc: float
    lag_min: float
    rise_degc: float
    static_pressure_pa: float
    suction_drop_pa: float
    idle_mm_s: float
    load_mm_s: float
    wear_at_start: float
    wear_per_day: float
    slip_beats_per_step: float


_RANGES: dict[str, tuple[float, float]] = {
    "tank_min": (4.8, 6.2),
    "demand_scale": (0.88, 1.15),
    "demand_shift_h": (-0.8, 0.8),
    "ambient_degc": (15.0, 22.0),
    "ambient_swing_degc": (2.5, 4.5),
    "lag_min": (9.0, 16.0),
    "rise_degc": (28.0, 40.0),
    "static_pressure_pa": (101_265.0, 101_385.0),
    "suction_drop_pa": (220.0, 340.0),
    "idle_mm_s": (0.2, 0.4),
    "load_mm_s": (1.6, 2.8),
    "wear_at_start": (0.0, 0.3),
    "wear_per_day": (0.002, 0.008),
    "slip_beats_per_step": (7.0, 19.0),
}


@dataclass(frozen=True)
class Fault:
    """`FAULTS[label]` from `start_us` until before `end_us`."""

    label: int
    start_us: int
    end_us: int


@dataclass(frozen=True)
class Dropout:
    """No samples of these variables from `start_us` until before `end_us`."""

    variables: tuple[Variable, ...]
    start_us: int
    end_us: int


@dataclass(frozen=True)
class RawSamples:
    """What one sensor gave from `start_us` until before `end_us`, at most one UTC day.

    Attributes:
        variable: what was measured, and in which unit.
        start_us: microseconds since 1970 UTC; midnight, but for the first part.
        end_us: midnight, but for the last part.
        times_us: int64 `[samples]`, increasing; samples that a dropout took are missing.
        values: float64 `[samples]`.
    """

    variable: Variable
    start_us: int
    end_us: int
    times_us: IntArray
    values: FloatArray


@dataclass(frozen=True)
class _Physics:
    """What the sensors feel: float32 `[steps + 1]` each, at the steps' borders."""

    temperature: Float32Array
    pressure: Float32Array
    pressure_noise: Float32Array
    severity: Float32Array
    roughness: Float32Array
    impacts: Float32Array


class Station:
    """One asset over a span of time.

    Args:
        asset: its number, from 0.
        days: length in days of 24 hours.
        start_us: microseconds since 1970 UTC, a whole minute.
        seed: at least 0.
        with_faults: let faults happen; without them the same machine runs sound.
        with_dropouts: let sensors drop out.

    Raises:
        ConfigError: an argument out of its range.
    """

    def __init__(
        self,
        asset: int,
        days: float,
        *,
        start_us: int = DEFAULT_START_US,
        seed: int = 0,
        with_faults: bool = True,
        with_dropouts: bool = True,
    ) -> None:
        _check_span(days, start_us, seed)
        self._key = (seed, asset)
        self.start_us = start_us
        self.steps = round(days * STEPS_PER_DAY)
        self.end_us = start_us + self.steps * STEP_US
        # One day more than the span touches: what wanders is drawn up to a knot beyond the end.
        self._days = range(start_us // DAY_US, (self.end_us - 1) // DAY_US + 2)
        rng = self._random("machine")
        self.machine = Machine(**{field.name: rng.uniform(*_RANGES[field.name]) for field in fields(Machine)})
        self.faults = tuple(self._draw_faults()) if with_faults else ()
        self.dropouts = tuple(self._draw_dropouts()) if with_dropouts else ()

    def raw_samples(self) -> Iterator[RawSamples]:
        """Each sensor's samples, one UTC day after the other, within a day in the order of `VARIABLES`."""
        for day in self._days[:-1]:
            start = max(self.start_us, day * DAY_US)
            end = min(self.end_us, (day + 1) * DAY_US)
            for variable in VARIABLES:
                yield self._measure(variable, start, end)

    def _random(self, purpose: str, day: int = 0) -> np.random.Generator:
        """The stream of random numbers of one purpose on one day, whatever else was drawn before."""
        seed, asset = self._key
        key = (asset, _PURPOSES.index(purpose), day)
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=key)))

    def _draw_faults(self) -> Iterator[Fault]:
        """At most one fault a day, over before midnight: wear of a bearing (8 to 18 h) or cavitation (1 to 4 h)."""
        for day in self._days[:-1]:
            rng = self._random("faults", day)
            chance, place, length = rng.random(3)
            label, hours = (BEARING_WEAR, 8 + 10 * length) if chance > 0.92 else (CAVITATION, 1 + 3 * length)
            start = day * DAY_US + int(place * (24 - hours) * HOUR_US)
            end = start + int(hours * HOUR_US)
            happens = chance > 0.92 or chance < 0.15
            if happens and start < self.end_us and end > self.start_us:
                yield Fault(label, start, end)

    def _draw_dropouts(self) -> Iterator[Dropout]:
        """Two a week, 2 to 12 minutes long: one sensor or, one time in four, the link of all three."""
        for day in self._days[:-1]:
            rng = self._random("dropouts", day)
            for _ in range(rng.poisson(2 / 7)):
                start = day * DAY_US + int(rng.uniform(0, DAY_US))
                lost = rng.choice(len(VARIABLES) + 1)
                variables = VARIABLES[lost : lost + 1] or VARIABLES
                yield Dropout(variables, start, start + int(rng.uniform(2, 12) * MINUTE_US))

    def _wander(self, purpose: str, correlation_h: float) -> FloatArray:
        """Unit-variance noise with an exponential correlation, `[steps + 1]`: an AR(1) at knots, linear between."""
        white = np.concatenate([self._random(purpose, day).standard_normal(_KNOTS_PER_DAY) for day in self._days])
        gain = 1 - math.exp(-24 / _KNOTS_PER_DAY / correlation_h)
        scale = math.sqrt((2 - gain) / gain)  # gives the lagged noise a variance of 1
        knots = self._days[0] * DAY_US + np.arange(len(white)) * (DAY_US // _KNOTS_PER_DAY)
        wandering: FloatArray = np.interp(self._step_times, knots, _lagged(white * scale, white[0], gain))
        return wandering

    @cached_property
    def _step_times(self) -> IntArray:
        return self.start_us + np.arange(self.steps + 1, dtype=np.int64) * STEP_US

    def _severity_of_fault(self, label: int) -> FloatArray:
        """`[steps + 1]`, from 0 to 1: wear grows until the bearing is changed, cavitation comes and goes at once."""
        severity = np.zeros(self.steps + 1)
        for fault in self.faults:
            if fault.label == label:
                share = (self._step_times - fault.start_us) / (fault.end_us - fault.start_us)
                active = (share >= 0) & (share < 1)
                severity[active] = share[active] if label == BEARING_WEAR else 1.0
        return severity

    def _demand(self) -> FloatArray:
        """Share of the pump's full flow, `[steps + 1]`; the bounds keep a cycle under 50 minutes and the pump ahead."""
        hours = (self._step_times - _MONDAY_US) / HOUR_US + self.machine.demand_shift_h
        weekly = np.interp(hours, np.arange(168), _WEEK, period=168)
        demand = weekly * self.machine.demand_scale * (1 + 0.07 * self._wander("demand", 2.0))
        bounded: FloatArray = np.clip(demand, 0.14, 0.76)
        return bounded

    @cached_property
    def _physics(self) -> _Physics:
        machine = self.machine
        wear, cavitation = self._severity_of_fault(BEARING_WEAR), self._severity_of_fault(CAVITATION)
        flow = _pump_flow(machine.tank_min, self._demand(), 1 - 0.1 * cavitation)
        hour = (self._step_times % DAY_US) / HOUR_US
        ambient = machine.ambient_degc + machine.ambient_swing_degc * np.sin(2 * np.pi * (hour - 9) / 24)
        settled = ambient + 1.2 * self._wander("air", 12.0) + machine.rise_degc * flow * (1 + 0.3 * wear)
        temperature = _lagged(settled, settled[0], 1 - math.exp(-STEP_S / 60 / machine.lag_min))
        pressure = machine.static_pressure_pa + 35 * self._wander("weather", 8.0)
        pressure -= (machine.suction_drop_pa + 120 * cavitation) * flow**2
        slow_wear = machine.wear_at_start + machine.wear_per_day * np.cumsum(flow) / STEPS_PER_DAY
        load = machine.load_mm_s * flow**2 * (1 + slow_wear + 0.9 * wear) * (1 + 0.06 * self._wander("turbulence", 0.5))
        severity = machine.idle_mm_s + load + 0.8 * np.abs(np.diff(flow, prepend=flow[0]))
        noise = 5 + 9 * flow + 25 * cavitation * flow
        roughness = 0.12 + 0.06 * flow + 0.25 * cavitation * flow
        states = (temperature, pressure, noise, severity, roughness, wear)
        return _Physics(*(state.astype(np.float32) for state in states))

    def _measure(self, variable: Variable, start_us: int, end_us: int) -> RawSamples:
        steps = slice((start_us - self.start_us) // STEP_US, (end_us - self.start_us) // STEP_US)
        shape = (steps.stop - steps.start, variable.samples_per_step)
        noise = self._random(variable.name, start_us // DAY_US).standard_normal(shape, np.float32)
        values = self._sense(variable, steps, noise).astype(np.float64).ravel()  # [steps, per step] -> [samples]
        times = start_us + np.arange(values.size, dtype=np.int64) * (STEP_US // variable.samples_per_step)
        for gap in self.dropouts:
            if variable in gap.variables and gap.start_us < end_us and gap.end_us > start_us:
                kept = (times < gap.start_us) | (times >= gap.end_us)
                times, values = times[kept], values[kept]
        return RawSamples(variable, start_us, end_us, times, values)

    def _sense(self, variable: Variable, steps: slice, noise: Float32Array) -> Float32Array:
        """What the sensor gives: `[steps, samples per step]`, like the noise."""
        physics, per_step = self._physics, variable.samples_per_step
        if variable is TEMPERATURE:
            return _between(physics.temperature, steps, per_step) + np.float32(0.06) * noise
        if variable is PRESSURE:
            return _between(physics.pressure, steps, per_step) + physics.pressure_noise[steps, None] * noise
        impacts = physics.impacts[steps, None]
        if impacts.any():  # a worn bearing strikes: its noise has heavy tails
            noise = noise * (1 + np.float32(0.25) * impacts * noise**2)
        # A whole number of beats per step makes the oscillation one row for all steps, without a sine per sample.
        turns = np.linspace(0, 2 * np.pi, per_step, endpoint=False) * round(self.machine.slip_beats_per_step)
        beat = (1 + 0.25 * np.sin(turns) + 0.08 * np.sin(3 * turns + 1)).astype(np.float32)  # [samples per step]
        shaken: Float32Array = np.abs(
            _between(physics.severity, steps, per_step) * (beat + physics.roughness[steps, None] * noise)
        )
        return shaken


def _check_span(days: float, start_us: int, seed: int) -> None:
    if not 0 < days <= MAX_DAYS:
        raise ConfigError("the number of days is out of range", got=f"{days:g}", allowed=f"above 0, up to {MAX_DAYS:g}")
    if start_us % MINUTE_US or not 0 <= start_us <= LATEST_START_US:
        got = np.datetime64(start_us, "us")
        raise ConfigError("the start is out of range", got=got, allowed="whole minutes of the years 1970 to 2199 UTC")
    if seed < 0:
        raise ConfigError("the seed is out of range", got=seed, allowed="0 or more")


def _pump_flow(tank_min: float, demand: FloatArray, derating: FloatArray) -> FloatArray:
    """Share of full flow at each step: hysteresis between an empty and a full tank of `tank_min` minutes of flow.

    Flow loses a tenth against the head of a full tank and follows a start or stop with a lag of 8 seconds. The tank
    starts half full with the pump off.
    """
    ramp = 1 - math.exp(-STEP_S / 8)
    volume, flow, running, flows = tank_min / 2, 0.0, False, []
    for drawn, share in zip(demand.tolist(), derating.tolist(), strict=True):
        running = volume < tank_min if running else volume <= 0
        flow += ((1 - 0.1 * volume / tank_min) * share * running - flow) * ramp
        volume += (flow - drawn) * STEP_S / 60
        flows.append(flow)
    return np.array(flows)


def _lagged(target: FloatArray, start: float, gain: float) -> FloatArray:
    """First-order lag: each step closes the share `gain` of what is missing to `target`."""
    state, states = float(start), []
    for wanted in target.tolist():
        state += (wanted - state) * gain
        states.append(state)
    return np.array(states)


def _between(borders: Float32Array, steps: slice, per_step: int) -> Float32Array:
    """Linear between the steps' borders: `[steps + 1]` -> `[steps, per_step]`."""
    left, right = borders[steps, None], borders[steps.start + 1 : steps.stop + 1, None]
    share = np.arange(per_step, dtype=np.float32) / np.float32(per_step)
    between: Float32Array = left + (right - left) * share
    return between
