"""The onnxruntime side of a comparison: a graph, and the same graph with the tensors before un-scaling laid open."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.contract.graph_io import UNSCALED_FROM, GraphSignature
from toolkit.errors import BundleError
from toolkit.parity.inputs import Feed
from toolkit.runtime.session import Session, SessionPolicy, create_session, run_session


def raw_key(answer: str) -> str:
    """The key, among a subject's outputs, of an answer as it is deployed."""
    return f"raw {answer}"


@dataclass(frozen=True)
class Subject:
    """A graph under test.

    Attributes:
        tensors: what it is meant to take and give.
        session: of the graph as it is deployed.
        opened: of a copy with the answers before un-scaling as outputs, or the same session where there are none.
        inner: for each answer the name of the tensor that holds it before un-scaling, or its own name.
        policy: of the sessions.
    """

    tensors: GraphSignature
    session: Session
    opened: Session
    inner: Mapping[str, str]
    policy: SessionPolicy

    def run(self, feed: Feed) -> dict[str, NDArray[np.float32]]:
        """Outputs by name, the answers before un-scaling, and under their `raw_key` as they are deployed.

        Raises:
            BundleError: onnxruntime cannot run the graph on these inputs.
        """
        names = [self.inner.get(tensor.name, tensor.name) for tensor in self.tensors.outputs]
        results = run_session(self.opened, dict(feed), names)
        outputs = {tensor.name: value for tensor, value in zip(self.tensors.outputs, results, strict=True)}
        answers = [tensor.name for tensor in self.tensors.answers]
        if self.opened is self.session:
            return {**outputs, **{raw_key(name): outputs[name] for name in answers}}
        raw = run_session(self.session, dict(feed), answers)
        return {**outputs, **{raw_key(name): value for name, value in zip(answers, raw, strict=True)}}

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
    """Loads a graph: as it is, and where it is to be opened with the tensors before un-scaling as further outputs.

    Raises:
        BundleError: not an ONNX graph, or onnxruntime refuses it.
    """
    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's decoder raises its own types, none of them onnx's
        raise BundleError(f"the {name} graph is not an ONNX file", got=str(error)[:100]) from error
    session = create_session(content, policy, f"the {name} graph")
    computed = {output for node in proto.graph.node for output in node.output}
    answers = [tensor.name for tensor in tensors.answers]
    inner = {answer: UNSCALED_FROM[answer] for answer in answers if UNSCALED_FROM.get(answer) in computed}
    if not opened or not inner:
        return Subject(tensors, session, session, {}, policy)
    for tensor in inner.values():
        proto.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    beside = create_session(proto.SerializeToString(), policy, f"the {name} graph")
    return Subject(tensors, session, beside, inner, policy)
