"""The processes that train one model together, each on its share of every batch: alone, or under `torchrun`."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from toolkit.errors import ConfigError


@dataclass(frozen=True)
class Team:
    """Which of how many processes this one is."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, batch: Tensor) -> tuple[Tensor, float]:
        """This process's part of a batch, and the weight of its mean loss.

        Gradients are averaged over the processes: weighted by the parts' sizes, that average is the gradient of the
        whole batch's mean, whether or not the parts are equal. A process for which nothing is left takes a series with
        weight 0, because all must take part.
        """
        if self.size == 1:
            return batch, 1.0
        own = batch[self.rank :: self.size]
        return (own, len(own) * self.size / len(batch)) if len(own) else (batch[:1], 0.0)

    def agree(self, number: float) -> float:
        """The leader's number: processes that stop at different epochs would wait for each other for ever."""
        if self.size == 1:
            return number
        told = torch.tensor([number], dtype=torch.float64, device=_device_of_messages())
        dist.broadcast(told, 0)
        return float(told)

    def mean(self, number: float) -> float:
        """The mean of all processes' numbers."""
        if self.size == 1:
            return number
        told = torch.tensor([number], dtype=torch.float64, device=_device_of_messages())
        dist.all_reduce(told)
        return float(told) / self.size

    def spread(self, content: bytes | None) -> bytes | None:
        """The leader's bytes: the machines of a team need not share a disk."""
        if self.size == 1:
            return content
        length = int(self.agree(float(len(content)) if content is not None else -1.0))
        if length < 0:
            return None
        told = torch.zeros(length, dtype=torch.uint8)
        if self.leads and content is not None:
            told = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        told = told.to(_device_of_messages())
        dist.broadcast(told, 0)
        return told.cpu().numpy().tobytes()

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            dist.barrier()

    def together(self, module: nn.Module) -> nn.Module:
        """The module whose gradients are averaged over the team."""
        if self.size == 1:
            return module
        return nn.parallel.DistributedDataParallel(module)


ALONE = Team()


def rank_from_environment() -> Team:
    """Who this process is by what `torchrun` tells it; alone where it tells nothing.

    Raises:
        ConfigError: what it tells is no rank.
    """
    names = ("RANK", "WORLD_SIZE")
    told = [os.environ.get(name, "") for name in names]
    if not any(told):
        return ALONE
    if not all(text.isdecimal() for text in told) or not int(told[0]) < int(told[1]):
        raise ConfigError("RANK and WORLD_SIZE", got=" and ".join(map(repr, told)), allowed="what torchrun sets")
    return Team(int(told[0]), int(told[1]))


@contextlib.contextmanager
def assembled(team: Team) -> Iterator[Team]:
    """Connects the team: by nccl where there are GPUs, else by gloo."""
    if team.size == 1:
        yield team
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield team
    finally:
        dist.destroy_process_group()


def _device_of_messages() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
