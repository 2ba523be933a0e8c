import importlib.util

import numpy as np
import pytest
import tiny_bundles
import torch

from toolkit.benchmark.bundle import bundle_feed
from toolkit.errors import ConfigError, ContenderError
from toolkit.parity import contender_builds as room
from toolkit.parity.bundle import graphs_of_bundle
from toolkit.parity.contender import CONTENDERS, other_contenders
from toolkit.parity.contender_builds import built_contender, main
from toolkit.runtime.bundle import load_bundle


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


def made(bundle, kind, graph="windowed", **options):
    return built_contender(
        bundle, graphs_of_bundle(bundle)[graph], bundle_feed(bundle, graph, 3, 9), kind, 1, **options
    )


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_torchscript_runs_both_graphs(bundle, graph):
    contender = made(bundle, "torchscript", graph)
    assert (contender.name, contender.graph, contender.provider, contender.precision) == (
        *("torchscript", graph, "cpu", "fp32"),
    )
    assert contender.options["mode"] == "trace and freeze"
    assert isinstance(contender.call(), torch.Tensor if graph == "windowed" else tuple)


def test_a_contender_that_answers_otherwise_is_not_timed(bundle, monkeypatch):
    monkeypatch.setitem(room.BUILDS, "torchscript", lambda module, *_: lambda *tensors: module(*tensors) * 1.01)
    with pytest.raises(ContenderError, match="torchscript not timed: it answers forecast otherwise"):
        made(bundle, "torchscript")


def test_whatever_a_compiler_raises_is_one_line(bundle, monkeypatch):
    monkeypatch.setitem(room.BUILDS, "torchscript", lambda *_: 1 / 0)
    with pytest.raises(ContenderError, match="torchscript not timed: division by zero"):
        made(bundle, "torchscript")


@pytest.mark.parametrize("kind", ["compile", "aotinductor"])
def test_compiling_has_a_time_limit(bundle, kind):
    with pytest.raises(ContenderError, match=f"{kind} not timed: it was not ready within 0.1 s"):
        made(bundle, kind, seconds=0.1)


def test_the_trial_tells_a_missing_compiler_in_one_line(bundle, monkeypatch, tmp_path):
    def refuse(*_):
        raise RuntimeError("InvalidCxxCompiler: no working C++ compiler\n\nSet TORCHDYNAMO_VERBOSE=1 for more")

    monkeypatch.setitem(room.COMPILED, "compile", refuse)
    np.savez(tmp_path / "feed.npz", **bundle_feed(bundle, "windowed", 1, 9))
    arguments = [
        str(bundle.folder),
        "windowed",
        "compile",
        "1",
        str(tmp_path / "feed.npz"),
        str(tmp_path / "model.pt2"),
    ]
    with pytest.raises(SystemExit, match=r"^InvalidCxxCompiler: no working C\+\+ compiler$"):
        main(arguments)


def test_an_unknown_contender_lists_the_known(bundle):
    with pytest.raises(ConfigError, match=f"--contender; got abacus; allowed: {', '.join(CONTENDERS)}"):
        other_contenders(bundle, ["torch", "abacus"], 1)


def test_builders_come_in_the_order_of_their_names_each_once(bundle, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    builders, notes = other_contenders(bundle, ["torchscript", "tract", "torch", "torch"], 1)
    feed = bundle_feed(bundle, "windowed", 1, 9)
    assert [build("windowed", feed).name for build in builders] == ["torchscript", "torch"]
    assert [note.partition(":")[0] for note in notes] == ["tract not measured"]


def test_without_weights_a_line_for_each_of_torch(folder):
    tiny_bundles.leave_out(folder, "weights.safetensors")
    builders, notes = other_contenders(load_bundle(folder), ["torch", "compile"], 1)
    assert builders == []
    assert notes == [f"{name} not measured: the bundle holds no weights.safetensors" for name in ("torch", "compile")]
