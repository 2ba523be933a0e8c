import onnxruntime
import pytest

from toolkit.errors import BundleError
from toolkit.runtime import provider_setup as room
from toolkit.runtime.provider_setup import CUDA, OPENVINO, TENSORRT, load_libraries, provider_options
from toolkit.runtime.session import CPU, SessionPolicy, create_session


def test_what_trades_accuracy_for_speed_is_off():
    assert provider_options(CUDA) == {"use_tf32": "0"}
    assert provider_options(TENSORRT)["trt_fp16_enable"] == "False"
    assert provider_options(OPENVINO, 2) == {"device_type": "CPU", "precision": "FP32", "num_of_threads": "2"}
    assert provider_options(CPU) == {}


@pytest.fixture
def preloads(monkeypatch):
    calls = []

    def preload():
        print("Failed to load libcudart.so")
        calls.append(1)

    room._load_nvidia.cache_clear()
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)
    yield calls
    room._load_nvidia.cache_clear()


def test_nvidias_libraries_are_loaded_once_and_without_a_word(preloads, capsys):
    load_libraries(CUDA)
    load_libraries(TENSORRT)
    assert preloads == [1]
    assert capsys.readouterr().out == ""


def test_nothing_is_loaded_for_the_cpu_nor_where_onnxruntime_offers_nothing(preloads, monkeypatch):
    load_libraries(CPU)
    assert preloads == []
    monkeypatch.delattr(onnxruntime, "preload_dlls")
    load_libraries(CUDA)


def test_a_session_on_cuda_gets_its_options_and_libraries(preloads, monkeypatch):
    seen = []

    def refuse(graph, options, providers):
        seen.extend(providers)
        raise RuntimeError("no GPU")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(BundleError, match="no GPU"):
        create_session(b"", SessionPolicy(provider=CUDA))
    assert seen == [(CUDA, {"use_tf32": "0"}), (CPU, {})]
    assert preloads == [1]
