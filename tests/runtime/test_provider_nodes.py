import tempfile

import pytest

from toolkit.errors import ProviderError
from toolkit.runtime import provider_nodes as room
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.provider_nodes import NodeOff, nodes_off, nodes_off_provider, require_provider
from toolkit.runtime.session import CPU, SessionPolicy, create_session

CUDA = "CUDAExecutionProvider"


def event(name, operator, provider, kind="float", dims=(1, 2)):
    told = {"op_name": operator, "provider": provider, "output_type_shape": [{kind: list(dims)}]}
    return {"cat": "Node", "name": f"{name}_kernel_time", "args": told}


def test_a_node_of_another_provider_is_named_once():
    events = [event("lstm", "LSTM", CUDA), event("head", "Gemm", CPU), event("head", "Gemm", CPU)]
    assert nodes_off(events, CUDA) == (NodeOff("head", "Gemm", CPU),)


def test_copies_and_what_is_no_kernel_are_of_no_account():
    fence = {"cat": "Node", "name": "head_fence_before", "args": {"op_name": "Gemm", "provider": CPU}}
    events = [event("Memcpy", "MemcpyToHost", CPU), fence, {"cat": "Session", "name": "model_run", "args": {}}]
    assert nodes_off(events, CUDA) == ()


@pytest.mark.parametrize(
    ("kind", "dims", "found"), [("int64", (3,), 0), ("int64", (), 0), ("int64", (3, 3), 1), ("float", (3,), 1)]
)
def test_work_on_sizes_may_stay_on_the_cpu(kind, dims, found):
    assert len(nodes_off([event("shape", "Gather", CPU, kind, dims)], CUDA)) == found


def test_work_on_sizes_by_a_third_provider_is_told():
    assert len(nodes_off([event("shape", "Gather", "Other", "int64", (3,))], CUDA)) == 1


@pytest.fixture
def bundle(whole):
    return load_bundle(whole)


@pytest.fixture
def fallen_back(monkeypatch):
    """Sessions that take any provider's name and run on the CPU, as a silent fallback does."""
    monkeypatch.setattr(room, "create_session", lambda graph, policy, name, to: create_session(graph, None, name, to))


def test_the_cpu_runs_the_whole_graph_and_nothing_stays_behind(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for entry in bundle.manifest.graphs:
        assert nodes_off_provider(bundle, entry, SessionPolicy()) == ()
    assert list(tmp_path.iterdir()) == []


def test_a_silent_fallback_is_a_failure_by_node(bundle, fallen_back):
    entry = bundle.manifest.graph("windowed")
    off = nodes_off_provider(bundle, entry, SessionPolicy(provider=CUDA))
    assert "LSTM" in {node.operator for node in off}
    with pytest.raises(ProviderError, match=f"{CUDA} leaves work of windowed.onnx to another provider; got .* on CPU"):
        require_provider(bundle, entry, SessionPolicy(provider=CUDA))
    assert ProviderError.exit_status == 1


def test_the_cpu_is_not_asked(bundle, monkeypatch):
    monkeypatch.setattr(room, "nodes_off_provider", None)
    require_provider(bundle, bundle.manifest.graph("windowed"), SessionPolicy())
