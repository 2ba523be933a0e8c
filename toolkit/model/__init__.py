"""The torch module that is trained: LSTM or GRU, last step, linear layer, with its scaling inside."""

from toolkit.model.lstm import MultivariateLSTM, StreamingForecaster, model_from_spec
from toolkit.model.torch_graph import TorchGraph, TorchGraphs, torch_graphs

__all__ = ["MultivariateLSTM", "StreamingForecaster", "TorchGraph", "TorchGraphs", "model_from_spec", "torch_graphs"]
