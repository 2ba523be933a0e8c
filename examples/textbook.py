"""The textbook case: a multivariate, multi-feature LSTM from numpy arrays to a graph in onnxruntime.

Two sequences of five steps; three variables (temperature, pressure, vibration) with two features each (mean, peak).
Run it: python examples/textbook.py
"""

import numpy as np
import torch
from torch import nn

from toolkit.contract.graph_io import signature
from toolkit.export import check_graph, export_graph
from toolkit.model import MultivariateLSTM
from toolkit.runtime.predictors import WindowedPredictor
from toolkit.runtime.session import create_session

SEQUENCES, STEPS, VARIABLES, FEATURES = 2, 5, 3, 2


def readings() -> torch.Tensor:
    """Made-up readings as `nn.LSTM` wants them: [steps, sequences, variables x features]."""
    random = np.random.default_rng(0)
    table = random.normal(size=(SEQUENCES, STEPS, VARIABLES, FEATURES)).astype(np.float32)
    flat = table.reshape(SEQUENCES, STEPS, VARIABLES * FEATURES)  # variable-major: t.mean, t.peak, p.mean, ...
    return torch.from_numpy(flat).transpose(0, 1).contiguous()  # [5, 2, 6]


def train(model: MultivariateLSTM, x: torch.Tensor, y: torch.Tensor) -> list[float]:
    """100 epochs of Adam on mean squared error; gives the loss of each."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> tuple[list[float], np.ndarray, np.ndarray]:
    """Trains, exports, and asks torch and onnxruntime the same question."""
    torch.manual_seed(0)
    x, y = readings(), torch.tensor([[0.5], [-0.5]])
    model = MultivariateLSTM(input_size=VARIABLES * FEATURES, hidden_size=64, num_layers=2, output_size=1)
    losses = train(model, x, y)
    model.eval()
    with torch.inference_mode():
        ours = model(x).numpy()  # [2, 1]
    graph = export_graph(model, "windowed")
    tensors = signature("windowed", model.shape)
    check_graph(graph, tensors, "windowed")
    theirs = WindowedPredictor(create_session(graph.SerializeToString()), tensors).predict(x.numpy())
    return losses, ours, theirs


if __name__ == "__main__":
    losses, ours, theirs = main()
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.2e}")
    print(f"torch {ours.ravel()}, onnxruntime {theirs.ravel()}, difference {np.abs(ours - theirs).max():.1e}")
