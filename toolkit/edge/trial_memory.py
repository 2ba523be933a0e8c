"""`trial.json`: which bundle has passed its trial on this machine, so that a restart need not try it again.

A verdict counts for the bundle's digest, the versions of the toolkit and of onnxruntime, the processor with its
instruction sets, and the session file: whatever else a trial depends on is this machine. Only what passed is
remembered: a trial that failed for want of memory may pass another day.
"""

import hashlib
import json
import os
from pathlib import Path

from toolkit import __version__
from toolkit.atomic_files import write_text
from toolkit.contract.frozen import dataclass
from toolkit.contract.readiness_reports import TrialResult
from toolkit.contract.records import decode, encode
from toolkit.errors import OutputError, RequestError

FILE = "trial.json"
SCHEMA = "trial/1"
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class TrialKey:
    """What a verdict is of.

    Attributes:
        digest: of the bundle.
        toolkit: version.
        onnxruntime: version.
        cpu: the processor's name.
        cpu_features_sha256: of its instruction sets.
        session_sha256: of the session file, "" without one.
    """

    digest: str
    toolkit: str
    onnxruntime: str
    cpu: str
    cpu_features_sha256: str
    session_sha256: str = ""


@dataclass(frozen=True)
class Verdict:
    """The contents of the file."""

    key: TrialKey
    result: TrialResult
    schema: str = SCHEMA


def trial_key(digest: str, session_file: str = "") -> TrialKey:
    """The key on this machine; imports onnxruntime.

    Args:
        digest: of the bundle that is loaded here.
        session_file: of `lstm-edge tune-session`, or "".
    """
    import onnxruntime  # noqa: PLC0415 - whoever asks has loaded the bundle

    from toolkit.runtime.session_file import cpu_key  # noqa: PLC0415

    session = ""
    if session_file:
        try:
            session = hashlib.sha256(Path(session_file).read_bytes()).hexdigest()
        except OSError:
            session = "unreadable"
    return TrialKey(digest, __version__, onnxruntime.__version__, *cpu_key(), session)


def recall_trial(folder: Path, key: TrialKey) -> TrialResult | None:
    """The verdict that was remembered for this key; None where there is none, or the file is damaged."""
    place = folder / FILE
    try:
        verdict = decode(Verdict, json.loads(_content(place)), str(place), RequestError)
    except (OSError, ValueError, RecursionError, RequestError):
        return None
    counts = verdict.schema == SCHEMA and verdict.key == key and verdict.result.digest == key.digest
    return verdict.result if counts and verdict.result.outcome == "passed" else None


def remember_trial(folder: Path, key: TrialKey, result: TrialResult) -> bool:
    """Writes a verdict where it passed.

    Returns:
        Whether it is remembered; a disk that takes nothing costs the next start a trial and this one nothing.
    """
    if result.outcome != "passed" or result.digest != key.digest:
        return False
    try:
        write_text(folder / FILE, json.dumps(encode(Verdict(key, result)), indent=2) + "\n")
    except OutputError:
        return False
    return True


def _content(place: Path) -> bytes:
    """Of a plain file of that name; no bytes of a larger one."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        return os.read(descriptor, size) if size <= MAX_BYTES else b""
    finally:
        os.close(descriptor)
