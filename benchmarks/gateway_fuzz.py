"""Bad input by the hundred thousand: payloads, manifests, bundles. Seeded, so that a find can be repeated.

A *crash* is any exception but the one that the toolkit means to raise. A *wrong accept* is a payload whose accepted
readings are not what a strict reader finds in it, or a bundle that is loaded although a file of its is not the one that
its manifest describes.
"""

import json
import math
import random
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway_process import VARIABLES

from toolkit.contract.manifest import MANIFEST, manifest_from_json
from toolkit.edge.columns import columns_of
from toolkit.edge.payloads import PayloadReader
from toolkit.edge.settings import FieldSettings, InputSettings
from toolkit.errors import ToolkitError
from toolkit.runtime.bundle import load_bundle

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_PAYLOAD = 4096
KEPT = 5
"""Finds that are told of with their input."""
FRAGMENTS = (
    b"null", b"NaN", b"-Infinity", b"1e999", b"1e308", b"-0.0", b"true", b'"12.5"', b"[]", b"{}", b"[[[[", b"\xff\xfe",
    b'"\\ud800"', b"\x00", b"9" * 400, b'{"value":', b"2026-02-30T00:00:00Z", b"1e5", b"\xef\xbb\xbf", b'"time"',
    b"2026-03-01T10:00:00+14:00", b",", b":", b"}", b"--", b"0x10", b"../../x", b"-1", b"18446744073709551616",
)  # fmt: skip
SAMPLES = (
    b'{"time":"2026-03-01T10:00:00.250Z","value":41.25}',
    b'[{"time":"2026-03-01T10:00:00Z","value":1},{"time":"2026-03-01T10:00:01Z","value":2.5}]',
    b'{"time":"2026-03-01T10:00:00","value":-1.5e-3,"unit":"degC","more":{"a":[1,2,{"b":null}]}}',
)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """One to four changes: a bit, a cut, a doubled piece, a foreign piece."""
    made = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(made) + 1)
        match chance.randrange(5):
            case 0 if made:
                made[place % len(made)] ^= 1 << chance.randrange(8)
            case 1:
                del made[place:]
            case 2:
                made[place:place] = made[chance.randrange(len(made) + 1) :][:20]
            case 3:
                made[place : place + chance.randrange(6)] = chance.choice(FRAGMENTS)
            case _:
                made[place : place + chance.randrange(9)] = b""
    return bytes(made)


TIMES = (
    '"2026-03-01T10:00:00Z"', '"2026-03-01T10:00:00.123456+05:30"', '"2026-03-01"', '"20260301T100000Z"', '"10:00"',
    '"2026-02-29T00:00:00Z"', '"2026-03-01T24:00:00Z"', '"1969-12-31T23:59:59Z"', '"9999-12-31T23:59:59Z"', '""',
    "1772359200", "1772359200.5", "null", "true", "[]", '"2026-03-01T10:00:00Z\\u0000"', '"\u0662026-03-01T10:00:00Z"',
)  # fmt: skip
VALUES = (
    "1", "-0.0", "41.25", "1e-400", "3.5e38", "1e39", "-1e309", "NaN", "-Infinity", "null", "true", '"7"', "[1]", "{}",
    "123456789012345678901234567890", "9" * 500, "0.1e", "01", "+1", "1_0", "\u0661", '{"a":1}',
)  # fmt: skip


def written(chance: random.Random) -> bytes:
    """A sample, or an array of some, out of odd parts; most of them are JSON."""
    samples = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        fields = [f'"time":{chance.choice(TIMES)}', f'"value":{chance.choice(VALUES)}']
        chance.shuffle(fields)
        if chance.random() < 0.2:
            fields.append(chance.choice(['"value":1', '"time":1', '"unit":"K"', '"more":[[{}]]', '"":0', '"Value":3']))
        if chance.random() < 0.1:
            fields.pop(0)
        samples.append("{" + ",".join(fields) + "}")
    text = samples[0] if len(samples) == 1 else "[" + ",".join(samples) + "]"
    return text.encode()


def with_other_leaf(content: bytes, chance: random.Random) -> bytes:
    """JSON in which one value, somewhere, is another, or is gone."""
    tree = json.loads(content)
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = chance.choice(keys)
        if isinstance(node[key], (dict, list)) and node[key] and chance.random() < 0.85:
            node = node[key]
            continue
        if chance.random() < 0.1:
            del node[key]
        else:
            node[key] = chance.choice(
                [
                    None,
                    -1,
                    0,
                    1 << 70,
                    1e308,
                    "",
                    "x" * 300,
                    "../x",
                    "\x00",
                    [],
                    {},
                    True,
                    [[]],
                    float("nan"),
                    "float64",
                ]
            )
        return json.dumps(tree).encode()


class Finds:
    """What went wrong, counted, and the first of it."""

    def __init__(self) -> None:
        self.tried, self.accepted = 0, 0
        self.crashes: list[str] = []
        self.wrong_accepts: list[str] = []
        self.refused: Counter[str] = Counter()

    def told(self) -> dict[str, Any]:
        """For the report."""
        return {
            "tried": self.tried,
            "accepted": self.accepted,
            "crashes": len(self.crashes),
            "wrong_accepts": len(self.wrong_accepts),
            "refused": dict(self.refused.most_common()),
            "examples": [*self.crashes[:KEPT], *self.wrong_accepts[:KEPT]],
        }

    def attempt(self, call: Callable[[], object], shown: Callable[[], str]) -> object:
        """What the call answers; None where it refuses."""
        self.tried += 1
        try:
            return call()
        except ToolkitError as error:
            if "\n" in str(error):
                self.crashes.append(f"more than a line: {shown()}")
            self.refused[type(error).__name__] += 1
        except Exception as error:
            self.crashes.append(f"{type(error).__name__}: {error}: {shown()}")
        return None


def payloads(bundle: Path, count: int, seed: int) -> dict[str, Any]:
    """Against the reader of payloads, with raw samples."""
    signal = load_bundle(bundle).manifest.signal
    assert signal is not None
    inputs = [InputSettings(f"plant/{{asset}}/{name}", {name: FieldSettings("value")}) for name in VARIABLES]
    reader, chance, finds = PayloadReader(inputs, columns_of(signal), {}, MAX_PAYLOAD), random.Random(seed), Finds()
    topic = f"plant/p1/{VARIABLES[0]}"
    while finds.tried < count:
        payload = mutate(chance.choice(SAMPLES), chance) if chance.random() < 0.4 else written(chance)
        answer: Any = finds.attempt(lambda: reader.read(topic, payload), lambda: repr(payload))  # noqa: B023
        if answer is None:
            continue
        finds.refused.update(str(refusal.reason) for refusal in answer.refused)
        finds.accepted += len(answer.readings)
        if answer.readings and not _is_in(payload, answer.readings):
            finds.wrong_accepts.append(f"{payload!r} gave {answer.readings}")
    return finds.told()


def _is_in(payload: bytes, readings: Any) -> bool:
    """Whether each reading stands in the payload, by the standard library's reader and in order."""
    content = json.loads(payload)
    stand = iter(content if isinstance(content, list) else [content])
    for reading in readings:
        if not math.isfinite(reading.value):
            return False
        if not any(_same(sample, reading) for sample in stand):
            return False
    return True


def _same(sample: Any, reading: Any) -> bool:
    """A number, and no text or truth value that Python would turn into one."""
    try:
        moment, value = datetime.fromisoformat(sample["time"]), sample["value"]
        since = moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH
        kept = since // timedelta(microseconds=1) == reading.time_us
        return kept and type(value) in (int, float) and float(value) == reading.value
    except (TypeError, KeyError, ValueError, OverflowError):
        return False


def manifests(bundle: Path, count: int, seed: int) -> dict[str, Any]:
    """Against the reader of manifests."""
    content, chance, finds = (bundle / MANIFEST).read_bytes(), random.Random(seed), Finds()
    while finds.tried < count:
        changed = mutate(content, chance) if chance.random() < 0.4 else with_other_leaf(content, chance)
        read = finds.attempt(lambda: manifest_from_json(changed, MANIFEST), lambda: repr(changed[:200]))  # noqa: B023
        finds.accepted += read is not None
    return finds.told()


def bundles(bundle: Path, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Against the loader of bundles: one file is changed, foreign, gone or another file's; never the manifest alone."""
    chance, finds = random.Random(seed), Finds()
    shutil.copytree(bundle, folder)
    names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
    while finds.tried < count:
        name = chance.choice(names)
        original = (folder / name).read_bytes()
        changed = _damaged(original, names, folder, chance)
        if changed == original:
            continue
        (folder / name).write_bytes(changed)
        loaded = finds.attempt(lambda: load_bundle(folder), lambda: name)  # noqa: B023
        if loaded is not None:
            finds.accepted += 1
            finds.wrong_accepts.append(f"{name} with {len(changed)} bytes")
        (folder / name).write_bytes(original)
    return finds.told()


def _damaged(content: bytes, names: list[str], folder: Path, chance: random.Random) -> bytes:
    if chance.random() < 0.1:
        return (folder / chance.choice(names)).read_bytes()
    if chance.random() < 0.6:
        changed = bytearray(content)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        return bytes(changed)
    return mutate(content, chance)


def fuzz(bundle: Path, folder: Path, counts: tuple[int, int, int], seed: int) -> dict[str, Any]:
    """All three; counts in that order."""
    return {
        "seed": seed,
        "payloads": payloads(bundle, counts[0], seed),
        "manifests": manifests(bundle, counts[1], seed),
        "bundles": bundles(bundle, counts[2], seed, folder),
    }


def lines(told: dict[str, Any]) -> list[str]:
    """For a person."""
    kinds = [(name, told[name]) for name in ("payloads", "manifests", "bundles")]
    return [
        f"{name}: {one['tried']} tried, {one['crashes']} crashes, {one['wrong_accepts']} wrong accepts"
        + "".join(f"\n  {example[:300]}" for example in one["examples"])
        for name, one in kinds
    ]
