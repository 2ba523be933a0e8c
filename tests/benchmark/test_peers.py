import importlib.util

import numpy as np
import pytest

from toolkit.benchmark.bundle import bundle_feed
from toolkit.benchmark.onnx_shapes import without_inner_shapes
from toolkit.benchmark.peers import PEERS, built_peer, main, peer_contender, peer_contenders
from toolkit.errors import ConfigError, ContenderError
from toolkit.runtime.bundle import load_bundle


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


@pytest.fixture
def abacus(bundle, monkeypatch):
    """Puts in a runtime that gives the graph's answers, changed by a function."""

    def put(change):
        def build(content, entry, feed, threads):
            def answers():
                return [change(array) for array in bundle.open(entry).run(None, dict(feed))]

            return lambda: "called", answers, {"threads": str(threads), "beads": "10"}

        monkeypatch.setitem(PEERS, "abacus", build)
        return bundle.manifest.graph("windowed", "fp32"), bundle_feed(bundle, "windowed", 2, 9)

    return put


def test_an_unknown_name_lists_the_known(bundle):
    with pytest.raises(ConfigError, match="--contender; got abacus; allowed: openvino, tract"):
        peer_contenders(bundle, ["abacus"], 1)


def test_what_is_not_installed_is_a_stated_skip(bundle, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    builders, notes = peer_contenders(bundle, ["tract", "openvino", "tract"], 1)
    assert builders == []
    assert [note.partition(" ")[0] for note in notes] == ["tract", "openvino"]
    assert notes[0] == "tract not measured: it is not installed; fix: pip install 'lstm-edge-toolkit[peers]'"


def test_the_right_answers_make_a_contender(abacus, bundle):
    entry, feed = abacus(lambda array: array)
    contender = built_peer(bundle, entry, feed, "abacus", 2)
    assert (contender.name, contender.graph, contender.provider, contender.threads) == ("abacus", "windowed", "cpu", 2)
    assert contender.options == {"beads": "10"}
    assert contender.call() == "called"


def test_other_answers_make_none(abacus, bundle):
    entry, feed = abacus(lambda array: array * 1.01)
    with pytest.raises(ContenderError, match="abacus not timed: it answers forecast otherwise"):
        built_peer(bundle, entry, feed, "abacus", 1)


def test_whatever_another_runtime_raises_is_one_line(abacus, bundle):
    entry, feed = abacus(lambda array: (_ for _ in ()).throw(KeyError("no\nbeads")))
    with pytest.raises(ContenderError, match="abacus not timed"):
        built_peer(bundle, entry, feed, "abacus", 1)


def test_the_trial_of_what_is_not_there_is_a_contender_error(bundle):
    if importlib.util.find_spec("tract") is not None:
        pytest.skip("tract is installed")
    entry, feed = bundle.manifest.graph("windowed", "fp32"), bundle_feed(bundle, "windowed", 1, 9)
    with pytest.raises(ContenderError, match="tract not timed: No module named 'tract'"):
        peer_contender(bundle, entry, feed, "tract", 1)


def test_the_trial_builds_what_it_is_told_to(abacus, bundle, tmp_path):
    _, feed = abacus(lambda array: array)
    np.savez(tmp_path / "feed.npz", **feed)
    main([str(bundle.folder), "windowed", "abacus", "1", str(tmp_path / "feed.npz")])
    abacus(lambda array: array * 2)
    with pytest.raises(SystemExit, match=r"^it answers forecast otherwise"):
        main([str(bundle.folder), "windowed", "abacus", "1", str(tmp_path / "feed.npz")])


@pytest.mark.parametrize("name", list(PEERS))
@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_real_runtimes_run_the_graphs_where_they_are_installed(bundle, name, graph):
    pytest.importorskip(name, reason="of the extra [peers]")
    (build,), notes = peer_contenders(bundle, [name], 1)
    assert notes == []
    build(graph, bundle_feed(bundle, graph, 2, 9)).call()


def test_only_the_shapes_between_nodes_are_left_out(bundle):
    onnx = pytest.importorskip("onnx")
    for entry in bundle.manifest.graphs:
        content = bundle.read(entry.file)
        before = onnx.load_model_from_string(content)
        before.graph.value_info.add().name = "one more"
        after = onnx.load_model_from_string(without_inner_shapes(before.SerializeToString()))
        assert not after.graph.value_info
        del before.graph.value_info[:]
        assert after == before
