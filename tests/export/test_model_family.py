"""Every kind of model that the toolkit trains leaves as a graph that is right in every shape."""

import pytest
import torch
import verdicts

from toolkit.model import MultivariateLSTM
from toolkit.model.torch_graph import torch_graphs
from toolkit.parity import ParityGrid

GRID = ParityGrid((1, 2, 4), (1, 2, 11, 26), (5, 0), hard=((2, 3),))

FAMILY = {
    "independent": {"channel_mixing": "independent"},
    "independent, time-major gru with an answer every step": {
        "channel_mixing": "independent",
        "cell": "gru",
        "head": "every",
        "batch_first": False,
    },
    "last": {"normalisation": "last"},
    "last, independent, both ways": {"normalisation": "last", "channel_mixing": "independent", "bidirectional": True},
    "revin": {"normalisation": "revin"},
    "revin, patches, independent": {"normalisation": "revin", "patch_length": 4, "channel_mixing": "independent"},
    "revin, patches, time-major": {"normalisation": "revin", "patch_length": 5, "batch_first": False},
    "patches": {"patch_length": 3},
    "quantiles": {"quantiles": (0.1, 0.5, 0.9)},
    "quantiles, independent, time-major gru with an answer every step": {
        "quantiles": (0.05, 0.25, 0.5, 0.9),
        "channel_mixing": "independent",
        "cell": "gru",
        "head": "every",
        "batch_first": False,
    },
    "quantiles, revin, patches, independent": {
        "quantiles": (0.5, 0.9),
        "normalisation": "revin",
        "patch_length": 4,
        "channel_mixing": "independent",
    },
    "quantiles, last, both ways, time-major": {
        "quantiles": (0.1, 0.5),
        "normalisation": "last",
        "bidirectional": True,
        "batch_first": False,
    },
}


@pytest.mark.parametrize("name", FAMILY)
def test_a_model_of_the_family(name):
    torch.manual_seed(0)
    options = {"batch_first": True, **FAMILY[name]}
    model = MultivariateLSTM(3, 8, 2, horizon=4, targets=2, target_channels=(2, 0), **options)
    model.set_scaling(torch.tensor([101_325.0, 20.0, -3.0]), torch.tensor([50.0, 2.0, 0.1]), (2, 0))
    graphs = torch_graphs(model.eval(), 12, options.get("patch_length", 1))
    assert set(graphs) == (
        {"windowed"} if model.needs_window or options.get("bidirectional") else {"windowed", "streaming"}
    )
    for graph in graphs.values():
        found = verdicts.verdict_on(graph, GRID)
        assert found.reason == ""
        assert found.report.weights[0].exact == found.report.weights[0].compared
