import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from toolkit.runtime import diagnosis as room
from toolkit.runtime.diagnosis import Facts, ProviderCheck, diagnose, examine, explain_exit, gather, probe, release

CPU = ProviderCheck("CPUExecutionProvider", True, None)
HEALTHY = Facts(
    python="3.11.7",
    bits=64,
    machine="aarch64",
    packages={"onnxruntime": "1.32.0", "torch": "2.13.0+cpu", "onnx": "1.23.2"},
    runtime="1.32.0",
    runtime_problem=None,
    providers=(CPU,),
    missing={"train": ()},
)
GATEWAY = replace(HEALTHY, packages={"onnxruntime": "1.32.0"}, missing={"train": ("torch", "onnx")})


def problems(facts):
    return [finding for finding in diagnose(facts) if finding.level == "problem"]


def only_problem(facts):
    (finding,) = problems(facts)
    assert "\n" not in finding.what + finding.fix
    return finding


def test_a_healthy_machine_has_no_finding():
    assert list(diagnose(HEALTHY)) == []


def test_a_gateway_without_extras_is_healthy():
    (finding,) = diagnose(GATEWAY)
    assert finding.level == "note"
    assert finding.what == "the extra [train] is not installed: torch, onnx"
    assert finding.fix == "pip install 'lstm-edge-toolkit[train]'"


def test_two_distributions_of_onnxruntime():
    finding = only_problem(replace(HEALTHY, packages={"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.32.0"}))
    assert finding.what == "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files"
    assert finding.fix == "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install the one you need"


def test_one_distribution_under_another_name_is_healthy():
    assert problems(replace(HEALTHY, packages={"onnxruntime-gpu": "1.32.0"})) == []


@pytest.mark.parametrize("runtime", ["1.21.0", None])
def test_the_release_that_dies_on_a_raspberry_pi(runtime):
    finding = only_problem(replace(HEALTHY, packages={"onnxruntime": "1.21.0"}, runtime=runtime))
    assert finding.what.startswith("onnxruntime 1.21.0 is blocked: it dies with an illegal instruction")
    assert finding.fix == "pip install 'onnxruntime>=1.32'"


@pytest.mark.parametrize("version", ["1.31.9", "1.9.0", "0.5", "1.22.1"])
def test_a_runtime_that_reads_out_of_bounds(version):
    finding = only_problem(replace(HEALTHY, packages={"onnxruntime-gpu": version}, runtime=version))
    assert f"onnxruntime-gpu {version} is blocked" in finding.what
    assert "out of bounds" in finding.what
    assert "Raspberry" not in finding.what
    assert finding.fix.startswith("pip install 'onnxruntime-gpu>=1.32'; where there is none, pip uninstall")


@pytest.mark.parametrize("version", ["1.32.0", "1.32.0.dev20261101", "1.100", "2.0"])
def test_a_runtime_that_is_new_enough(version):
    assert problems(replace(HEALTHY, packages={"onnxruntime": version}, runtime=version)) == []


def test_a_32_bit_userland_on_a_64_bit_kernel():
    finding = only_problem(replace(HEALTHY, bits=32))
    assert finding.what == "32-bit Python on a 64-bit kernel (aarch64); onnxruntime has no 32-bit package"
    assert "64-bit edition" in finding.fix


def test_a_32_bit_machine():
    assert only_problem(replace(HEALTHY, bits=32, machine="armv7l")).what.startswith("32-bit Python (armv7l)")


@pytest.mark.parametrize("version", ["3.10.12", "3.9.2"])
def test_an_old_python(version):
    assert only_problem(replace(HEALTHY, python=version)).what == f"Python {version}; 3.11 or newer is needed"


def test_a_python_that_is_new_enough():
    assert problems(replace(HEALTHY, python="3.14.0rc1")) == []


def test_torch_and_onnx_below_their_floors():
    torch, onnx = problems(replace(HEALTHY, packages={"torch": "2.9.1+cu128", "onnx": "1.21.0"}))
    assert torch.what.startswith("torch 2.9.1+cu128: ")
    assert "CVE-2026-24747" in torch.what
    assert torch.fix == "pip install 'torch>=2.10'"
    assert onnx.what.startswith("onnx 1.21.0: ")
    assert onnx.fix == "pip install 'onnx>=1.22'"


@pytest.mark.parametrize(
    ("problem", "fix"),
    [
        ("ModuleNotFoundError: No module named 'onnxruntime'", "pip install 'onnxruntime>=1.32'"),
        (
            "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory",
            "apt install libgomp1",
        ),
        (
            "ImportError: libstdc++.so.6: cannot open shared object file: No such file or directory",
            "install the package with libstdc++.so.6",
        ),
        ("the process died of an illegal instruction", "pip install --force-reinstall 'onnxruntime>=1.32'"),
    ],
)
def test_an_import_that_fails(problem, fix):
    finding = only_problem(replace(HEALTHY, packages={}, runtime=None, runtime_problem=problem, providers=()))
    assert finding.what == f"onnxruntime cannot be imported: {problem}"
    assert finding.fix == fix


def test_a_provider_that_does_not_work():
    broken = (
        replace(CPU, problem="wrong answer: off by 0.3"),
        ProviderCheck("CUDAExecutionProvider", True, "fell back"),
    )
    cpu, cuda = problems(replace(HEALTHY, providers=broken))
    assert cpu.what == "CPUExecutionProvider runs no LSTM: wrong answer: off by 0.3"
    assert "force-reinstall" in cpu.fix
    assert cuda.what == "CUDAExecutionProvider runs no LSTM: fell back"
    assert "cuDNN" in cuda.fix


def test_a_provider_that_nobody_asked_for_is_no_problem():
    absent = ProviderCheck("CUDAExecutionProvider", False, "not in this build")
    azure = ProviderCheck("AzureExecutionProvider", True, "the LSTM ran on CPUExecutionProvider instead")
    assert problems(replace(HEALTHY, providers=(CPU, absent, azure))) == []


@pytest.mark.parametrize(
    ("status", "stderr", "said"),
    [
        (-signal.SIGILL, "", "an illegal instruction"),
        (-signal.SIGSEGV, "noise", "a memory fault"),
        (-signal.SIGKILL, "", "no memory left"),
        (-signal.SIGHUP, "", "SIGHUP"),
        (-200, "", "signal 200"),
        (1, "Traceback ...\n  File ...\nImportError:   libgomp.so.1\n", "ImportError: libgomp.so.1"),
        (3, "", "status 3"),
    ],
)
def test_an_exit_is_explained(status, stderr, said):
    assert said in explain_exit(status, stderr)


@pytest.mark.parametrize(
    ("version", "numbers"), [("2.13.0+cpu", (2, 13, 0)), ("1.32", (1, 32)), ("3.14.0rc1", (3, 14, 0)), ("unknown", ())]
)
def test_a_release_is_its_leading_numbers(version, numbers):
    assert release(version) == numbers


def run_instead(monkeypatch, script):
    """Lets `probe` run a script in place of `toolkit.runtime.providers`."""
    run = subprocess.run
    monkeypatch.setattr(
        room.subprocess, "run", lambda command, **options: run([sys.executable, "-c", script, *command[4:]], **options)
    )


def test_a_process_that_dies_is_survived(monkeypatch):
    run_instead(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    answer, problem = probe()
    assert answer == {}
    assert "illegal instruction" in problem
    assert "Raspberry Pi 4" in problem
    facts = gather({})
    assert (facts.runtime, facts.providers) == (None, ())
    assert any("cannot be imported: the process died of an illegal instruction" in f.what for f in problems(facts))


def test_a_provider_that_kills_its_process_spares_the_others(monkeypatch):
    script = (
        "import json, os, signal, sys\n"
        "if 'CUDAExecutionProvider' in sys.argv: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "providers = ['CUDAExecutionProvider', 'CPUExecutionProvider']\n"
        "print(json.dumps({'problem': None} if len(sys.argv) > 1 else {'version': '1.32.0', 'providers': providers}))"
    )
    run_instead(monkeypatch, script)
    cuda, cpu = gather({}).providers
    assert cpu == CPU
    assert cuda.available
    assert "a memory fault" in cuda.problem


def test_what_a_library_prints_before_the_answer_is_skipped(monkeypatch):
    run_instead(monkeypatch, "print('EP Error: hello'); print('{\"problem\": null}')")
    assert probe("CPUExecutionProvider") == ({"problem": None}, None)


def test_a_process_without_an_answer(monkeypatch):
    run_instead(monkeypatch, "pass")
    assert probe() == ({}, "the process gave no answer")


def test_a_process_that_hangs(monkeypatch):
    monkeypatch.setattr(room, "SECONDS", 0.2)
    run_instead(monkeypatch, "import time; time.sleep(60)")
    assert probe() == ({}, "no answer within 0.2 s")


def test_the_library_that_a_provider_lacks_is_named(monkeypatch):
    script = (
        "import sys\n"
        'print(\'{"problem": "the session fell back"}\')\n'
        "print('[E:onnxruntime] Failed to load library libonnxruntime_providers_cuda.so with error: '"
        "'libcudnn.so.9: cannot open shared object file: No such file or directory', file=sys.stderr)"
    )
    run_instead(monkeypatch, script)
    answer, _ = probe("CUDAExecutionProvider")
    assert answer["problem"] == "the session fell back (libcudnn.so.9: cannot open shared object file)"


def test_a_folder_of_the_same_name_is_not_run(tmp_path, monkeypatch):
    impostor = tmp_path / "toolkit" / "runtime"
    impostor.mkdir(parents=True)
    for package in (impostor.parent, impostor):
        (package / "__init__.py").touch()
    (impostor / "providers.py").write_text('print(\'{"version": "impostor"}\')')
    monkeypatch.chdir(tmp_path)
    assert probe()[0]["version"] != "impostor"


def test_this_machine_can_be_examined(monkeypatch):
    diagnosis = examine({"train": ("torch",), "none": ("no_such_package_anywhere",)})
    assert CPU in diagnosis.providers
    assert "CUDAExecutionProvider" in {check.name for check in diagnosis.providers}
    assert any(finding.what.startswith("the extra [none]") for finding in diagnosis.findings)
    available = [check.name for check in diagnosis.providers if check.available]
    assert diagnosis.environment["providers"] == available
    assert json.dumps(diagnosis.environment)


def test_healthy_means_without_problems(monkeypatch):
    monkeypatch.setattr(room, "gather", lambda extras: GATEWAY)
    assert examine({}).healthy
    monkeypatch.setattr(room, "gather", lambda extras: replace(GATEWAY, bits=32))
    assert not examine({}).healthy


def test_the_diagnosis_imports_neither_onnxruntime_nor_torch():
    script = (
        "import sys; from toolkit.runtime.diagnosis import examine; examine({'train': ('torch', 'onnx')});"
        "print([name for name in ('onnxruntime', 'torch', 'onnx', 'polars', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
