"""Proof that onnxruntime computes what the torch module computes."""

from toolkit.parity.check import check_parity
from toolkit.parity.grid import ParityGrid

__all__ = ["ParityGrid", "check_parity"]
