import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.errors import BundleError, RequestError
from toolkit.runtime.session import CPU, SessionPolicy, create_session, run_session


@pytest.fixture(scope="module")
def content(whole):
    return (whole / "windowed.onnx").read_bytes()


def test_the_default_policy_is_what_a_shared_gateway_needs(content):
    options = create_session(content).get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.inter_op_num_threads == 1
    assert options.enable_cpu_mem_arena is False
    assert options.enable_mem_pattern is True
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL


def test_a_policy_is_obeyed(content):
    policy = SessionPolicy(threads=2, spinning=True, arena=True, optimisation="none", memory_pattern=False)
    options = create_session(content, policy).get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.enable_cpu_mem_arena is True
    assert options.enable_mem_pattern is False
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


def test_every_optimisation_level_gives_the_same_answer(content):
    x = np.full((2, 12, 2), (60.0, 101_325.0), np.float32)
    answers = [
        run_session(create_session(content, SessionPolicy(optimisation=level)), {"x": x})[0]
        for level in ("all", "basic", "none")
    ]
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-6)
    np.testing.assert_allclose(answers[2], answers[0], rtol=1e-6)


def test_a_provider_that_is_not_there(content):
    with pytest.raises(RequestError, match="NoSuchExecutionProvider is not in this onnxruntime") as refused:
        create_session(content, SessionPolicy(provider="NoSuchExecutionProvider"))
    assert CPU in str(refused.value)


def test_a_provider_that_silently_hands_over_to_the_cpu(content, monkeypatch):
    class HandsOver:
        def __init__(self, *_args, **_options):
            pass

        def get_providers(self):
            return [CPU]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", HandsOver)
    with pytest.raises(RequestError, match=r"CUDAExecutionProvider did not take windowed\.onnx; got CPUExec"):
        create_session(content, SessionPolicy(provider="CUDAExecutionProvider"), "windowed.onnx")


@pytest.mark.parametrize("damaged", [b"", b"\x00", b"not a graph" * 50, b"\x08\x08\x12\xff\xff\xff"])
def test_what_is_no_graph_is_refused_on_one_line(damaged):
    with pytest.raises(BundleError, match="onnxruntime refuses the graph") as refused:
        create_session(damaged)
    assert "\n" not in str(refused.value)


def test_a_truncated_graph_is_refused(content):
    """Cut within its weights; a cut before the metadata at its end leaves a graph, which a hash alone can tell."""
    for length in range(1, len(content) // 2, 101):
        with pytest.raises(BundleError, match="onnxruntime refuses"):
            create_session(content[:length])


def test_a_run_that_fails_is_one_line_with_the_shapes(content):
    session = create_session(content)
    with pytest.raises(BundleError, match=r"cannot run the graph on x \[2, 12, 7\]; got ") as refused:
        run_session(session, {"x": np.zeros((2, 12, 7), np.float32)})
    assert "\n" not in str(refused.value)


def test_onnxruntime_prints_nothing_of_its_own(content, capfd):
    """A reshape that does not fit is logged by onnxruntime as an error before it is raised."""
    sizes = numpy_helper.from_array(np.array([7, -1]), "sizes")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, a) for n, a in (("x", ["n"]), ("y", ["a", "b"])))
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "sizes"], ["y"])], "g", [x], [y], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = create_session(model.SerializeToString())
    with pytest.raises(BundleError, match="cannot run the graph"):
        run_session(session, {"x": np.zeros(5, np.float32)})
    with pytest.raises(BundleError):
        create_session(content[:300])
    assert capfd.readouterr() == ("", "")
