"""From a torch forecaster to ONNX graphs with a dynamic batch and sequence axis."""

from toolkit.export.graphs import export_graph
from toolkit.export.lint import check_graph, graph_problems
from toolkit.export.lowering import lower

__all__ = ["check_graph", "export_graph", "graph_problems", "lower"]
