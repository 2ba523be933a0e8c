"""Somebody's folder: modules of all kinds, good and bad, with weights, readings and a signal."""

import os
from pathlib import Path

import pytest
import safetensors.torch
import sensor_tables
import torch

from toolkit.export.foreign import load_module

NETS = """
import sys
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, answer=None):
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 8, batch_first=True), nn.Linear(8, 2)
        self.answer = answer

    def forward(self, x, *others):
        if self.answer is not None:
            return self.answer(self, x, *others)
        return self.head(self.lstm(x)[0][:, -1])

class Printing(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 8, batch_first=True)

    def forward(self, x, states):
        print("the module says something")
        return self.lstm(x, states)

class Looped(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(2, 4)

    def forward(self, x):
        h = c = x.new_zeros(x.shape[0], 4)
        for step in range(x.shape[1]):
            h, c = self.cell(x[:, step], (h, c))
        return h

def make():
    return Net()

def printing():
    print("the factory says something")
    from inner import answer  # beside this file
    return Printing()

def raises():
    raise ValueError("no\\nluck")

def leaves():
    sys.exit(3)

def interrupted():
    raise KeyboardInterrupt

def number():
    return 5

def needs(size):
    return nn.LSTM(2, size)

def tensor():
    return torch.zeros(3)

def raising():
    return Net(lambda net, x: x.no_such_method())

def leaving():
    return Net(lambda net, x: sys.exit("good\\nbye"))

def leaving_late():
    calls = []

    def answer(net, x):
        calls.append(1)
        if len(calls) > 40:  # long after the export
            sys.exit(0)
        return net.head(net.lstm(x)[0])

    return Net(answer)

def integer():
    return Net(lambda net, x: 5)

def packed():
    pack = torch.nn.utils.rnn.pack_padded_sequence
    return Net(lambda net, x: net.lstm(pack(x, [x.shape[1]] * x.shape[0], batch_first=True))[0])

def packed_within():
    pack = torch.nn.utils.rnn.pack_padded_sequence
    return Net(lambda net, x: net.head(net.lstm(pack(x, [x.shape[1]] * x.shape[0], batch_first=True))[1][0][0]))

def projected():
    return nn.LSTM(2, 8, proj_size=4, batch_first=True)

def looped():
    return Looped()

def branching():
    return Net(lambda net, x: net.head(net.lstm(x)[0]) if x.sum() > 0 else net.head(x @ torch.ones(2, 8)))

def fours():
    return Net(lambda net, x: net.lstm(x.reshape(x.shape[0], x.shape[1] // 4, 4, 2).mean(2))[0])

def grus():
    return nn.GRU(2, 8, batch_first=True)
"""

SIGNAL = """
interval_s = 60
channels = ["temperature", "pressure"]
targets = ["temperature", "pressure"]
units = { pressure = "Pa" }
"""


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    (safetensors.torch.save_file if path.suffix == ".safetensors" else torch.save)(tensors, path)


def make_shop(folder: Path) -> Path:
    """Fills the folder, and gives it."""
    files = {
        "own_nets.py": NETS,
        "inner.py": "answer = 42",
        "broken_nets.py": "def make(:",
        "missing_nets.py": "import nowhere_to_be_found",
        "leaving_nets.py": "import sys\nsys.exit(4)",
        "interrupted_nets.py": "raise KeyboardInterrupt",
        "signal.toml": SIGNAL,
        "three.toml": SIGNAL.replace(
            '["temperature", "pressure"]\ntargets', '["temperature", "pressure", "c"]\ntargets'
        ),
        "other.toml": SIGNAL.replace("units =", "unit ="),
        "text.toml": "channels: none",
        "minutes.toml": SIGNAL.replace("60", "1"),
        "plant.csv": sensor_tables.plain_csv(),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.manual_seed(5)
        weights = load_module("own_nets:make").state_dict()
        save(load_module("own_nets:printing").state_dict(), folder / "lstm.safetensors")
    save(weights, folder / "net.pt")
    save(weights, folder / "net.safetensors")
    save({**weights, "head.weight": torch.zeros(3, 8)}, folder / "wide.safetensors")
    save({name: tensor for name, tensor in weights.items() if name != "head.bias"}, folder / "few.pt")
    save({**weights, "head.bias": torch.tensor([0.0, float("nan")])}, folder / "nan.pt")
    torch.save({"epoch": 3, "model": weights}, folder / "checkpoint.pt")
    torch.save([1, 2], folder / "list.pt")
    (folder / "folder.pt").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "letter.txt").write_text("dear")
    for name in ("huge.pt", "huge.safetensors"):
        (folder / name).touch()
        os.truncate(folder / name, 10 << 30)  # sparse: it takes no room
    for name in ("pipe.pt", "pipe.safetensors", "pipe.toml"):
        os.mkfifo(folder / name)
    return folder
