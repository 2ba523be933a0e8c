"""The onnxruntime side of a comparison: a graph, and the same graph with the tensor before un-scaling laid open."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.contract.graph_io import FORECAST, STANDARDISED, STATE_PAIRS, GraphName
from toolkit.errors import BundleError
from toolkit.parity.inputs import Feed
from toolkit.runtime.session import Session, SessionPolicy, create_session, run_session


@dataclass(frozen=True)
class Answer:
    """What a graph answers: the forecast in standard deviations and its states, and the forecast in raw units."""

    standardised: dict[str, NDArray[np.float64]]
    raw: NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """A graph under test.

    Attributes:
        graph: which of the contract's graphs it is meant to be.
        session: of the graph as it is deployed.
        opened: of a copy with `forecast_standardised` as an output.
        inner: the name of the tensor that holds the forecast before un-scaling.
    """

    graph: GraphName
    session: Session
    opened: Session
    inner: str

    def run(self, feed: Feed) -> Answer:
        """Runs both sessions.

        Raises:
            BundleError: onnxruntime cannot run the graph on these inputs.
        """
        (raw,) = run_session(self.session, dict(feed), [FORECAST])
        names = [self.inner, *(STATE_PAIRS.values() if self.graph == "streaming" else ())]
        results = run_session(self.opened, dict(feed), names)
        keys = (FORECAST, *STATE_PAIRS.values())
        return Answer({key: value.astype(np.float64) for key, value in zip(keys, results, strict=False)}, raw)


def open_subject(graph: GraphName, content: bytes, policy: SessionPolicy) -> Subject:
    """Loads a graph twice: as it is, and with the tensor before un-scaling as a further output.

    Raises:
        BundleError: not an ONNX graph, or onnxruntime refuses it.
    """
    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's decoder raises its own types, none of them onnx's
        raise BundleError(f"the {graph} graph is not an ONNX file", got=str(error)[:100]) from error
    inner = STANDARDISED if any(STANDARDISED in node.output for node in proto.graph.node) else FORECAST
    if inner == STANDARDISED:
        proto.graph.output.append(onnx.helper.make_tensor_value_info(STANDARDISED, onnx.TensorProto.FLOAT, None))
    opened = create_session(proto.SerializeToString(), policy, f"the {graph} graph")
    return Subject(graph, create_session(content, policy, f"the {graph} graph"), opened, inner)
