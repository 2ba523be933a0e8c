"""What a provider is told, and what it needs loaded, before a session is made on it.

Providers trade accuracy for speed unless told otherwise: CUDA multiplies in TF32 (10 bits of mantissa, where float32
has 23) on GPUs from Ampere on, OpenVINO in bfloat16 on processors that have it. Parity, golden vectors and the speed
that is reported are of float32 arithmetic, so each such switch is set off in words, whatever its default is today.
"""

import contextlib
import functools
import io

import onnxruntime

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
NVIDIA = (CUDA, TENSORRT)


def provider_options(provider: str, threads: int = 1) -> dict[str, str]:
    """The options that a session gives a provider; none for a provider that trades nothing.

    TensorRT multiplies in TF32 as well and onnxruntime has no option for it: see `benchmarks/cuda.md`.

    Args:
        provider: onnxruntime's name for it.
        threads: within one operator, for a provider that has threads of its own.
    """
    if provider == CUDA:
        return {"use_tf32": "0"}
    if provider == TENSORRT:
        return {"trt_fp16_enable": "False", "trt_int8_enable": "False"}
    if provider == OPENVINO:
        return {"device_type": "CPU", "precision": "FP32", "num_of_threads": str(threads)}
    return {}


def load_libraries(provider: str) -> None:
    """Loads CUDA and cuDNN from NVIDIA's Python packages, where onnxruntime offers it and the provider needs them.

    `pip install onnxruntime-gpu[cuda,cudnn]` puts them where no loader looks. What is missing is told by the session
    that then fails; onnxruntime's own lines on standard output would end up in a report that is written there.
    """
    if provider in NVIDIA:
        _load_nvidia()


@functools.cache
def _load_nvidia() -> None:
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()):
            preload()
