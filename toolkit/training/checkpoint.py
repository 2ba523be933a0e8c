"""Checkpoints: all that training has come to after an epoch, in one file, so that a killed run goes on to the bit.

A safetensors file: tensors, and a JSON text in its header; nothing in it is executed. The last two are kept, so that
one which a crash or a full disk cut short leaves the one before it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from toolkit import atomic_files
from toolkit.contract.records import decode
from toolkit.errors import BundleError, OutputError

KEPT = 2
NAME = re.compile(r"checkpoint-(\d{6})\.safetensors")
METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class EpochRecord:
    """One line of `metrics.jsonl`; losses are of the configured kind, in standard deviations."""

    epoch: int
    train_loss: float
    validation_loss: float
    learning_rate: float
    seconds: float
    best: bool


@dataclass(frozen=True)
class Standing:
    """Where training stands after an epoch.

    Attributes:
        records: of the epochs so far; the schedule is a function of their number.
        weights: of the model.
        best_weights: those of the best epoch.
        optimizer: the optimiser's tensors, by parameter and name.
        shuffle: the state of the generator that shuffles. What draws dropout is seeded anew in every epoch.
    """

    records: tuple[EpochRecord, ...]
    weights: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    shuffle: Tensor

    @property
    def epoch(self) -> int:
        """The last epoch that is done."""
        return len(self.records)

    @property
    def best_epoch(self) -> int:
        """The epoch of the best validation loss; 0 before the first."""
        return max((record.epoch for record in self.records if record.best), default=0)

    @property
    def best_loss(self) -> float:
        """Its validation loss."""
        return self.records[self.best_epoch - 1].validation_loss if self.best_epoch else float("inf")


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training in a folder of its own, `metrics.jsonl` beside them.

    Attributes:
        folder: it exists.
        identity: a text that is another for another configuration or other data; a checkpoint of another is refused.
    """

    folder: Path
    identity: str

    def keep(self, standing: Standing) -> None:
        """Writes a checkpoint, and removes those that are no longer needed.

        Raises:
            OutputError: the disk is full, or cannot be written; the checkpoint before this one stays good.
        """
        tensors = {
            f"{group}.{name}": tensor.detach().cpu().clone().contiguous()
            for group in ("weights", "best_weights", "optimizer")
            for name, tensor in getattr(standing, group).items()
        } | {"shuffle": standing.shuffle}
        texts = {
            "identity": self.identity,
            "records": json.dumps([asdict(record) for record in standing.records]),
        }
        header = texts | {"sha256": _digest(tensors, texts)}
        try:
            atomic_files.write_bytes(self._path(standing.epoch), safetensors.torch.save(tensors, header))
        except OutputError as error:
            raise OutputError(
                f"the checkpoint of epoch {standing.epoch} is not kept", got=str(error), fix="make room, then --resume"
            ) from error
        for epoch in self.epochs()[:-KEPT]:
            self._path(epoch).unlink(missing_ok=True)
        self._write_metrics(standing)

    def latest(self) -> bytes | None:
        """The newest checkpoint that is whole; one that is cut short or damaged is skipped for the one before it.

        `metrics.jsonl` is cut back to it.

        Raises:
            BundleError: none that lies there is whole: to begin anew is not to go on.
        """
        for epoch in reversed(self.epochs()):
            content = _bytes_of(self._path(epoch))
            standing = read_standing(content, self.identity)
            if standing is not None and standing.epoch == epoch:
                self._write_metrics(standing)
                return content
        if self.epochs():
            fix = "begin anew with --overwrite, without --resume"
            raise BundleError(f"no checkpoint in {self.folder} is whole", got="damaged ones", fix=fix)
        return None

    def epochs(self) -> list[int]:
        """Numbers of the checkpoints that lie there, rising."""
        found = (NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def _path(self, epoch: int) -> Path:
        return self.folder / f"checkpoint-{epoch:06d}.safetensors"

    def _write_metrics(self, standing: Standing) -> None:
        lines = "".join(json.dumps(asdict(record)) + "\n" for record in standing.records)
        atomic_files.write_text(self.folder / METRICS, lines)


def read_standing(content: bytes, identity: str | None = None) -> Standing | None:
    """What a checkpoint's bytes hold; None where they are damaged, or of another training than `identity`."""
    try:
        tensors = safetensors.torch.load(content)
        header = _header(content)
        if header.pop("sha256") != _digest(tensors, header) or identity not in (None, header["identity"]):
            return None
        records = tuple(decode(EpochRecord, row, "a record", BundleError) for row in json.loads(header["records"]))
        groups = {name: _group(tensors, name) for name in ("weights", "best_weights", "optimizer")}
        return Standing(records, shuffle=tensors["shuffle"], **groups)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError, BundleError):
        return None


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state, `parameter.name` to tensor."""
    state = optimizer.state_dict()["state"]
    return {f"{parameter}.{name}": value for parameter, values in state.items() for name, value in values.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        parameter, _, name = key.partition(".")
        state.setdefault(int(parameter), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _group(tensors: Mapping[str, Tensor], group: str) -> dict[str, Tensor]:
    prefix = f"{group}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _header(content: bytes) -> dict[str, Any]:
    """The texts in a safetensors file's header, of a file that `safetensors` could read."""
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    return dict(header["__metadata__"])


def _digest(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """SHA-256 over names, bytes and texts: a bit that flipped on the disk leaves the file readable."""
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + str(tensors[name].dtype).encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
