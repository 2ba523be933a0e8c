import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny_bundles
from onnx import TensorProto, helper, numpy_helper

from toolkit.edge import trial as room
from toolkit.edge.settings import TrialSettings
from toolkit.edge.trial import Trial, accept, start_trial, try_bundle
from toolkit.edge.trial_request import TrialRequest
from toolkit.errors import BundleError, GoldenError
from toolkit.runtime.bundle import load_bundle

CHILDREN = "edge_trial_children"


def misbehaving(way, time_s=20.0, **limits):
    """The result of one of the children that are not the real one."""
    with Trial(TrialRequest(str(way), time_s=time_s, **limits), CHILDREN) as trial:
        return trial.result()


@pytest.fixture(scope="module")
def passed(whole):
    return try_bundle(whole)


def test_a_sound_bundle_passes(whole, passed):
    assert (passed.outcome, passed.problem) == ("passed", "")
    assert passed.digest == load_bundle(whole).digest
    accept(passed, load_bundle(whole))
    outputs = {(part.graph, part.output) for part in passed.golden}
    assert outputs == {("windowed", "forecast"), *(("streaming", name) for name in ("forecast", "hn", "cn"))}
    assert {"window", "rough", "short", "batch"} <= {part.case for part in passed.golden}
    assert all(0 <= part.worst < 1 for part in passed.golden)


def test_both_graphs_are_timed_and_memory_is_told(passed):
    assert {one.graph: one.samples for one in passed.latency} == {"windowed": 12, "streaming": 1}
    assert all(one.calls >= 1 and 0 < one.p50_ms <= one.p99_ms for one in passed.latency)
    assert 20 < passed.rss_mb <= passed.peak_rss_mb < 500
    assert 0 <= passed.memory_mb < 500
    assert passed.seconds > 0


def test_what_is_no_bundle_is_refused(tmp_path, whole):
    result = try_bundle(tmp_path)
    assert (result.outcome, result.digest) == ("refused", "")
    assert "is no bundle" in result.problem
    with pytest.raises(BundleError, match="is no bundle"):
        accept(result, load_bundle(whole))


def nudged(array):
    array.flat[1] += np.float32(0.05)
    return array


def test_golden_vectors_beyond_their_tolerance_fail(folder):
    tiny_bundles.damage_graph(folder, "windowed", tiny_bundles.change_weights("lstm.R_l0", nudged))
    result = try_bundle(folder)
    assert result.outcome == "failed"
    assert "times the tolerance in forecast" in result.problem
    assert max(part.worst for part in result.golden if part.graph == "windowed") > 1
    assert any(part.graph == "streaming" and part.worst < 1 for part in result.golden)
    with pytest.raises(GoldenError, match="did not pass"):
        accept(result, load_bundle(folder))


def test_weights_that_are_no_numbers_are_refused(folder):
    tiny_bundles.damage_graph(folder, "windowed", tiny_bundles.change_weights("lstm.R_l0", lambda a: a * np.nan))
    result = try_bundle(folder)
    assert result.outcome == "refused"
    assert "NaN or infinite" in result.problem


def test_a_batch_of_0_among_the_golden_vectors_does_not_abort_the_child(folder):
    from toolkit.runtime.golden import pack_golden, unpack_golden

    cases = unpack_golden((folder / "golden.npz").read_bytes())
    empty = [
        dataclasses.replace(case, inputs={name: array[:0] for name, array in case.inputs.items()})
        if case.graph == "windowed"
        else case
        for case in cases
    ]
    tiny_bundles.put(folder, "golden.npz", pack_golden(empty))
    result = try_bundle(folder)
    assert result.outcome == "failed"
    assert "x is empty; got batch 0" in result.problem


def greedy(proto):
    """Adds the sum of 8 GB of zeros to the forecast; how many they are depends on a size that is known at run time."""
    output = proto.graph.output[0].name
    for node in proto.graph.node:
        node.output[:] = ["modest" if name == output else name for name in node.output]
    stored = {"two_billion": np.array([2 * 10**9], np.int64), "first": np.array([0], np.int64)}
    stored |= {"one": np.array([1], np.int64), "all": np.array([0], np.int64)}
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in stored.items())
    proto.graph.node.extend(
        [
            helper.make_node("Shape", ["x"], ["sizes"]),
            helper.make_node("Slice", ["sizes", "first", "one"], ["batch"]),
            helper.make_node("Min", ["batch", "one"], ["single"]),
            helper.make_node("Mul", ["single", "two_billion"], ["many"]),
            helper.make_node("ConstantOfShape", ["many"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros", "all"], ["nothing"], keepdims=0),
            helper.make_node("Add", ["modest", "nothing"], [output]),
        ]
    )


def test_a_model_that_takes_8_gb_fails_alone(folder):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tiny_bundles.damage_graph(folder, "windowed", greedy)
    result = try_bundle(folder, TrialSettings(memory_bytes=512 * 10**6))
    assert (result.outcome, result.problem) == ("failed", "it took more than 512 MB")
    assert result.peak_rss_mb < 700
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 200_000


def endless(proto):
    names = {"i": TensorProto.INT64, "going": TensorProto.BOOL, "sum": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info(name, kind, []) for name, kind in names.items()]
    outputs = [helper.make_tensor_value_info("on", TensorProto.BOOL, [])]
    outputs.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, []))
    nodes = [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Identity", ["sum"], ["more"])]
    body = helper.make_graph(nodes, "body", inputs, outputs)
    output = proto.graph.output[0].name
    for node in proto.graph.node:
        node.output[:] = ["modest" if name == output else name for name in node.output]
    stored = {"trips": np.array(2**62, np.int64), "yes": np.array(True), "none": np.array(0, np.float32)}
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in stored.items())
    proto.graph.node.append(helper.make_node("Loop", ["trips", "yes", "none"], ["total"], body=body))
    proto.graph.node.append(helper.make_node("Add", ["modest", "total"], [output]))


def test_a_model_that_loops_is_ended_though_nobody_looked_at_its_operators(folder):
    tiny_bundles.damage_graph(folder, "windowed", endless)
    assert try_bundle(folder).outcome == "refused"
    result = misbehaving(folder, time_s=1.0)
    assert (result.outcome, result.problem) == ("died", "it ran longer than 1 s")


def test_the_limits_are_those_that_were_asked_for():
    found = json.loads(misbehaving("limits").problem)
    assert found["RLIMIT_CPU"] == [8, 9]
    assert found["RLIMIT_CORE"] == found["RLIMIT_FSIZE"] == [0, 0]
    assert 0 < found["timer"] <= 7.5
    assert found["oom_score_adj"] == 1000
    assert found["nice"] >= os.nice(0) + 5


def test_a_service_that_may_not_change_priorities_tries_bundles_all_the_same():
    assert misbehaving("hardened").problem == "done"


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (f"die={int(signal.SIGABRT)}", "aborted by SIGABRT"),
        (f"die={int(signal.SIGSEGV)}", "aborted by SIGSEGV"),
        (f"die={int(signal.SIGILL)}", "illegal instruction"),
        (f"die={int(signal.SIGKILL)}", "no memory left"),
        (f"die={int(signal.SIGXCPU)}", "ran longer than 20 s"),
        ("complain", "no such thing"),
        ("wrong_answer", "gave no answer"),
        ("flood", "wrote more than"),
    ],
)
def test_a_death_is_told_in_one_line(way, words):
    result = misbehaving(way)
    assert result.outcome == "died"
    assert words in result.problem
    assert "\n" not in result.problem
    assert result.digest == ""


def test_a_child_that_never_stops_talking_is_not_listened_to(monkeypatch):
    taken, real = [], os.read

    def counted(descriptor, size):
        taken.append(len(part := real(descriptor, size)))
        return part

    monkeypatch.setattr(room.os, "read", counted)
    assert "wrote more than" in misbehaving("flood", time_s=1.0).problem
    assert sum(taken) <= 2 * room.MAX_ANSWER


@pytest.mark.parametrize("way", ["sleep", "quiet"])
def test_a_child_that_does_not_end_itself_is_ended(monkeypatch, way):
    monkeypatch.setattr(room, "GRACE_S", 0.3)
    result = misbehaving(way, time_s=0.2)
    assert (result.outcome, result.problem) == ("died", "it ran longer than 0.2 s")


def test_no_secret_is_passed_on(monkeypatch):
    monkeypatch.setenv("MQTT_PASSWORD", "hunter2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    monkeypatch.setenv("HOME", "/home/somebody")
    seen = json.loads(misbehaving("environment").problem)
    assert set(seen) <= {*room.PASSED_ON, "PYTHONPATH", "LC_CTYPE"}
    assert "hunter2" not in json.dumps(seen)


def test_whoever_leaves_a_trial_leaves_no_process_behind():
    with Trial(TrialRequest("sleep"), CHILDREN) as trial:
        child = trial._child
    assert child.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_descriptors_are_closed(whole):
    before = len(os.listdir("/proc/self/fd"))
    misbehaving("wrong_answer")
    misbehaving("flood")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_bundle_that_changed_between_trial_and_loading_is_not_run(folder, passed):
    manifest = tiny_bundles.manifest_of(folder)
    (folder / "manifest.json").write_text(dataclasses.replace(manifest, name="another").to_json())
    with pytest.raises(BundleError, match="changed while it was tried"):
        accept(passed, load_bundle(folder))


def test_it_is_started_before_anything_is_imported():
    """A parent that starts one and then imports onnxruntime waits for the longer of the two."""
    program = "import sys, toolkit.edge.trial; sys.exit('onnxruntime' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_start_trial_does_not_wait(whole):
    began = time.monotonic()
    with start_trial(whole, TrialSettings(time_s=30.0)) as trial:
        assert trial._child.poll() is None or time.monotonic() - began < 5
        assert trial.result().outcome == "passed"


def test_a_session_file_decides_precision_and_policy(whole, tmp_path):
    (tmp_path / "session.toml").write_text('schema = "session/9"\n')
    result = try_bundle(whole, session_file=str(tmp_path / "session.toml"))
    assert result.outcome == "refused"
    assert "session file" in result.problem
