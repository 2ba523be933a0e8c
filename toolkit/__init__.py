"""From a table of sensor readings to a verified ONNX forecaster running on an edge gateway.

This file runs before `toolkit.edge` does on a gateway without torch, so it holds the version and nothing else.
"""

__version__ = "0.1.0"
