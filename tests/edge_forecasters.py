"""Bundles and steps of a forecaster for tests, and what a journal keeps between two of its lives."""

import dataclasses

import numpy as np

from toolkit.contract.manifest import StatePolicy
from toolkit.edge import forecaster as room
from toolkit.edge import shared_calls
from toolkit.edge.forecaster import drawn_rows
from toolkit.runtime.bundle import Bundle

FEW = 4
"""The window of bundles whose graph is one of numpy."""


def with_policy(bundle, warm_up, max_age=None, **others):
    return Bundle(bundle.folder, dataclasses.replace(bundle.manifest, state=StatePolicy(warm_up, max_age), **others))


def only(bundle, name):
    graphs = tuple(entry for entry in bundle.manifest.graphs if entry.name == name)
    other = {entry.file for entry in bundle.manifest.graphs} - {entry.file for entry in graphs}
    files = {file: entry for file, entry in bundle.manifest.files.items() if file not in other}
    state = bundle.manifest.state if name == "streaming" else None
    return Bundle(bundle.folder, dataclasses.replace(bundle.manifest, graphs=graphs, files=files, state=state))


def numpy_bundle(bundle, monkeypatch, graphs, warm_up=FEW, max_age=None):
    """A bundle with a window of 4 whose sessions are numpy's; each that is opened is put into `graphs`."""

    def opened(self, entry, policy=None):
        graphs.append(make(entry.name == "streaming"))
        return graphs[-1]

    make = graphs.pop()
    monkeypatch.setattr(Bundle, "guarded", opened)
    for place in (room, shared_calls):  # fewer series are as good here, and quicker to try
        monkeypatch.setattr(place, "LARGEST", 18)
    model = dataclasses.replace(bundle.manifest.model, window_length=FEW)
    return with_policy(bundle, warm_up, max_age, model=model, window_length=FEW)


def rows_of(bundle, assets, steps, seed=0):
    """`[assets, steps, channels]`."""
    rows = drawn_rows(bundle, "windowed", assets + 1, steps)
    return (rows[:assets] + np.random.default_rng(seed).standard_normal((assets, 1, rows.shape[2]))).astype(np.float32)


def ints(*numbers):
    return np.array(numbers, np.int64)


def step_one(forecaster, asset, row, starts=False):
    return forecaster.step(ints(asset), row[None], np.array([starts]))


class Kept:
    """What a journal keeps of one asset."""

    def __init__(self):
        self.rows, self.series, self.current, self.state, self.age = [], [], 0, None, 0

    def put_back(self, forecaster, asset, channels, state_ok=True):
        k = forecaster.kept_rows
        rows = np.array(self.rows[-k:], np.float32).reshape(-1, channels)
        series = np.array(self.series[-k:], np.int64)
        forecaster.restore(asset, rows, series, self.current, self.state, state_ok=state_ok, age=self.age)


def told(answers, place):
    """All that is said of one asset in a step."""
    ready = bool(answers.ready[place])
    outputs = {name: array[place].tobytes() for name, array in answers.outputs.items()} if ready else {}
    return ready, bool(answers.recalled[place]), bool(answers.refused[place]), outputs


def take(forecaster, kept, assets, rows, starts):
    """One step, and what the journal keeps of it."""
    answers = forecaster.step(ints(*assets), rows, starts)
    states, ages = forecaster.states_of(ints(*assets)), forecaster.ages_of(ints(*assets))
    for i, asset in enumerate(assets):
        one = kept.setdefault(asset, Kept())
        one.current += bool(starts[i] or answers.refused[i])
        one.state, one.age = states[i], ages[i]
        if not answers.refused[i]:
            one.rows.append(rows[i])
            one.series.append(one.current)
    return [told(answers, i) for i in range(len(assets))]
