"""The onnxruntime side of a comparison: a graph, and the same graph with the tensor before un-scaling laid open."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.contract.graph_io import STANDARDISED, GraphSignature
from toolkit.errors import BundleError
from toolkit.parity.inputs import Feed
from toolkit.runtime.session import Session, SessionPolicy, create_session, run_session

RAW = "raw answer"
"""The key, among a subject's outputs, of the first answer as it is deployed."""


@dataclass(frozen=True)
class Subject:
    """A graph under test.

    Attributes:
        tensors: what it is meant to take and give.
        session: of the graph as it is deployed.
        opened: of a copy with `forecast_standardised` as an output, or the same session where there is no such tensor.
        inner: the name of the tensor that holds the first answer before un-scaling.
        policy: of the sessions.
    """

    tensors: GraphSignature
    session: Session
    opened: Session
    inner: str
    policy: SessionPolicy

    def run(self, feed: Feed) -> dict[str, NDArray[np.float32]]:
        """Outputs by name, the first answer before un-scaling, and under `RAW` as it is deployed.

        Raises:
            BundleError: onnxruntime cannot run the graph on these inputs.
        """
        answer = self.tensors.answers[0].name
        names = [self.inner if tensor.name == answer else tensor.name for tensor in self.tensors.outputs]
        results = run_session(self.opened, dict(feed), names)
        outputs = {tensor.name: value for tensor, value in zip(self.tensors.outputs, results, strict=True)}
        if self.opened is self.session:
            return {**outputs, RAW: outputs[answer]}
        return {**outputs, RAW: run_session(self.session, dict(feed), [answer])[0]}

    def run_raw(self, feed: Feed) -> dict[str, NDArray[np.float32]]:
        """Outputs by name as they are deployed.

        Raises:
            BundleError: as `run`.
        """
        names = [tensor.name for tensor in self.tensors.outputs]
        return dict(zip(names, run_session(self.session, dict(feed), names), strict=True))


def open_subject(
    name: str, content: bytes, tensors: GraphSignature, policy: SessionPolicy, *, opened: bool = True
) -> Subject:
    """Loads a graph: as it is, and where it is to be opened with the tensor before un-scaling as a further output.

    Raises:
        BundleError: not an ONNX graph, or onnxruntime refuses it.
    """
    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's decoder raises its own types, none of them onnx's
        raise BundleError(f"the {name} graph is not an ONNX file", got=str(error)[:100]) from error
    session = create_session(content, policy, f"the {name} graph")
    if not opened or not any(STANDARDISED in node.output for node in proto.graph.node):
        return Subject(tensors, session, session, tensors.answers[0].name, policy)
    proto.graph.output.append(onnx.helper.make_tensor_value_info(STANDARDISED, onnx.TensorProto.FLOAT, None))
    inner = create_session(proto.SerializeToString(), policy, f"the {name} graph")
    return Subject(tensors, session, inner, STANDARDISED, policy)
