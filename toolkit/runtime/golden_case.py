"""One call of `golden.npz`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphName

Array = NDArray[np.float32]


@dataclass(frozen=True)
class GoldenCase:
    """One call: what goes in and what must come out, by tensor name."""

    graph: GraphName
    name: str
    inputs: dict[str, Array]
    outputs: dict[str, Array]
