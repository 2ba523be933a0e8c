"""A module of one's own, from `nn.Module` to a graph that any size fits: windowed, and carried on sample by sample.

Run it: python examples/own_module.py
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from toolkit.release import Options, export_module
from toolkit.runtime.bundle import load_bundle

CHANNELS, HIDDEN = 4, 16


class Attending(nn.Module):
    """A GRU whose every step is weighed before the last layer: one number for a window of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(CHANNELS, HIDDEN, batch_first=True)
        self.weight, self.head = nn.Linear(HIDDEN, 1), nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, sequence, 4]` to `[batch, 1]`."""
        steps, _ = self.gru(x)  # [batch, sequence, 16]
        weights = torch.softmax(self.weight(steps), dim=1)  # [batch, sequence, 1]
        answer: torch.Tensor = self.head((weights * steps).sum(dim=1))
        return answer


class Streaming(nn.Module):
    """An LSTM that is given its state and gives it back: the runtime keeps one for each machine."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(CHANNELS, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 1)

    def forward(self, x: torch.Tensor, h0: torch.Tensor, c0: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """`[batch, sequence, 4]` and two states `[1, batch, 16]` to an answer at every step and the states after."""
        steps, (hn, cn) = self.lstm(x, (h0, c0))
        return self.head(steps), hn, cn


def main(out: Path) -> tuple[float, float]:
    """Exports both and runs them; gives how far onnxruntime is from torch, and pieces from the whole sequence."""
    torch.manual_seed(0)
    module, overwrite = Attending().eval(), Options(overwrite=True)
    window = "x: float32[batch, sequence, 4]"
    built = export_module(module, [window], out / "attending", outputs=["forecast"], options=overwrite)
    x = np.random.default_rng(0).normal(size=(3, 50, CHANNELS)).astype(np.float32)
    with torch.inference_mode():
        ours = module(torch.from_numpy(x)).numpy()
    apart = float(np.abs(load_bundle(built.folder).windowed().predict(x) - ours).max())

    states = ["h0: float32[1, batch, 16]", "c0: float32[1, batch, 16]"]
    pairs = {"outputs": ["forecast", "hn", "cn"], "states": {"h0": "hn", "c0": "cn"}}
    built = export_module(Streaming().eval(), [window, *states], out / "streaming", options=overwrite, **pairs)
    stream = load_bundle(built.folder).streaming()
    machines = ("pump-1", "pump-2", "pump-3")
    pieces = [stream.step(x[:, first : first + 7], machines) for first in range(0, 50, 7)]
    whole = load_bundle(built.folder).streaming().step(x, machines)
    return apart, float(np.abs(np.concatenate(pieces, axis=1) - whole).max())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("exported"), help="Folder for the two bundles.")
    apart, pieces = main(parser.parse_args().out)
    print(f"onnxruntime and torch differ by {apart:.1e}, pieces of a stream and the whole by {pieces:.1e}")
