"""The torch module of a multivariate, multi-feature LSTM forecaster."""

from toolkit.model.lstm import MultivariateLSTM, StreamingForecaster, model_from_spec

__all__ = ["MultivariateLSTM", "StreamingForecaster", "model_from_spec"]
