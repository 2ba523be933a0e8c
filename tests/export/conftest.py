import onnxruntime
import pytest
import torch

from toolkit.model import MultivariateLSTM


@pytest.fixture(scope="session")
def forecaster():
    """Makes small forecasters with random weights and scaling far from the identity."""

    def make(seed=0, *, num_layers=1, hidden_size=8, batch_first=True, training=False):
        torch.manual_seed(seed)
        model = MultivariateLSTM(3, hidden_size, num_layers, horizon=2, targets=2, batch_first=batch_first)
        model.set_scaling(torch.tensor([101_325.0, 20.0, -3.0]), torch.tensor([50.0, 2.0, 0.1]), [0, 2])
        return model.train(training)

    return make


@pytest.fixture(scope="session")
def run_graph():
    """Runs a graph in onnxruntime; what comes back are all of its outputs as tensors."""

    def run(proto, *inputs):
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        feed = {value.name: x.numpy() for value, x in zip(session.get_inputs(), inputs, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, feed)]

    return run
