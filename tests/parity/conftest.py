import pytest
import torch

from toolkit.export import export_graph
from toolkit.model import MultivariateLSTM
from toolkit.parity import ParityGrid


@pytest.fixture(scope="session")
def forecaster():
    """Makes small forecasters with random weights, one channel at 101 325 +- 50."""

    def make(seed=0, *, hidden_size=8, num_layers=1, batch_first=True):
        torch.manual_seed(seed)
        model = MultivariateLSTM(3, hidden_size, num_layers, horizon=2, targets=2, batch_first=batch_first)
        model.set_scaling(torch.tensor([101_325.0, 20.0, -3.0]), torch.tensor([50.0, 2.0, 0.1]), [2, 0])
        return model.eval()

    return make


@pytest.fixture(scope="session")
def model(forecaster):
    """One of them, to be read and not changed."""
    return forecaster()


@pytest.fixture(scope="session")
def graphs(model):
    """Its graphs as they are."""
    return {graph: export_graph(model, graph).SerializeToString() for graph in ("windowed", "streaming")}


@pytest.fixture(scope="session")
def grid():
    """A few shapes."""
    return ParityGrid((1, 2, 3), (1, 5, 12), (1, 0))
