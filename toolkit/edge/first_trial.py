"""The trial that a bundle must have passed on this machine before a gateway runs it: now, or before and remembered.

The child is started before onnxruntime is imported here, so that both get ready side by side. Whether one is needed is
told by the manifest's digest alone at first; a verdict of another onnxruntime or another processor counts for nothing,
which shows later and costs a little more.
"""

import hashlib
import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from toolkit.atomic_files import make_folder
from toolkit.contract.manifest import MANIFEST
from toolkit.edge.service_manager import state_folder
from toolkit.edge.settings import Settings
from toolkit.edge.trial import Trial, accept, start_trial
from toolkit.edge.trial_memory import FILE, MAX_BYTES, recall_trial, remember_trial, trial_key
from toolkit.errors import ConfigError

if TYPE_CHECKING:
    from toolkit.runtime.bundle import Bundle

log = logging.getLogger(__name__)


class FirstTrial:
    """The trial of a gateway's bundle; a context manager that leaves no process behind.

    Args:
        settings: of the gateway.

    Attributes:
        folder: the journal's, where verdicts are remembered.

    Raises:
        ConfigError: nothing says where the journal lies.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.folder = journal_folder(settings)
        self._trial = None if self._seems_remembered() else self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._trial is not None:
            self._trial.__exit__(kind, error, at)

    def bundle(self) -> "Bundle":
        """The bundle, which has passed.

        Raises:
            BundleError: no bundle that may be run, or one that changed while it was tried.
            GoldenError: it did not pass.
            OutputError: the journal's folder cannot be made.
        """
        from toolkit.runtime.bundle import load_bundle  # noqa: PLC0415

        bundle = load_bundle(self._settings.bundle)
        key = trial_key(bundle.digest, self._settings.session_file)
        if self._trial is None and recall_trial(self.folder, key) is not None:
            log.info("the bundle passed its trial here before", extra={"bundle": bundle.digest})
            return bundle
        self._trial = self._trial or self._start()
        result = self._trial.result()
        accept(result, bundle)
        make_folder(self.folder)
        remember_trial(self.folder, key, result)
        log.info("the bundle has passed its trial", extra={"bundle": bundle.digest})
        return bundle

    def _start(self) -> Trial:
        return start_trial(self._settings.bundle, self._settings.trial, self._settings.session_file)

    def _seems_remembered(self) -> bool:
        """A quick look that decides nothing but when a child is started."""
        with suppress(OSError, ValueError, RecursionError, KeyError, TypeError):
            manifest = _start_of(os.path.join(self._settings.bundle, MANIFEST))
            verdict = json.loads(_start_of(os.path.join(self.folder, FILE)))
            return bool(verdict["key"]["digest"] == hashlib.sha256(manifest).hexdigest())
        return False


def journal_folder(settings: Settings) -> Path:
    """Where the journal lies.

    Raises:
        ConfigError: nothing says so.
    """
    if settings.journal.folder:
        return Path(settings.journal.folder)
    folder = state_folder()
    if folder is None:
        raise ConfigError(
            "journal.folder is missing", allowed="a folder, or systemd's StateDirectory", fix='folder = "state"'
        )
    return folder


def _start_of(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_BYTES + 1)
