import json
import subprocess
import sys
from dataclasses import replace

import pytest

from toolkit.cli.main import main
from toolkit.runtime import diagnosis as room
from toolkit.runtime.diagnosis import Facts, ProviderCheck

CPU = ProviderCheck("CPUExecutionProvider", True, None)
CUDA = ProviderCheck("CUDAExecutionProvider", False, "not in this build of onnxruntime; onnxruntime-gpu brings it")
AZURE = ProviderCheck("AzureExecutionProvider", True, "the LSTM ran on CPUExecutionProvider instead")
HEALTHY = Facts(
    python="3.11.7",
    bits=64,
    machine="aarch64",
    packages={"onnxruntime": "1.32.0"},
    runtime="1.32.0",
    runtime_problem=None,
    providers=(AZURE, CPU, CUDA),
    missing={"train": ("torch",)},
)


@pytest.fixture
def facts(monkeypatch):
    """Sets the facts that the command finds."""

    def found(**changes):
        monkeypatch.setattr(room, "gather", lambda extras: replace(HEALTHY, **changes))

    return found


def doctor(*options):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *options])
    return ended.value.code or 0


def test_a_healthy_machine_ends_with_0(facts, capsys):
    facts()
    assert doctor() == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "CPUExecutionProvider    runs an LSTM, with the right answer\n" in out
    assert "CUDAExecutionProvider not in this build of onnxruntime; onnxruntime-gpu brings it" in " ".join(out.split())
    assert max(map(len, out.partition("note: ")[0].splitlines())) <= 80
    assert "AzureExecutionProvider  runs no LSTM, which is no fault: " in out
    assert "note: the extra [train] is not installed: torch; fix: pip install 'lstm-edge-toolkit[train]'\n" in out
    assert out.endswith("Nothing is wrong.\n")


def test_a_problem_ends_with_1_and_its_fix(facts, capsys):
    facts(packages={"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.32.0"})
    assert doctor() == 1
    out, err = capsys.readouterr()
    assert "problem: onnxruntime and onnxruntime-gpu are both installed" in out
    assert "; fix: pip uninstall -y onnxruntime onnxruntime-gpu" in out
    assert out.endswith("Something is wrong: see the problems above.\n")
    assert "Traceback" not in err


def test_a_runtime_that_cannot_be_imported_is_explained(facts, capsys):
    facts(runtime=None, runtime_problem="the process died of an illegal instruction", providers=())
    assert doctor() == 1
    out = capsys.readouterr().out
    assert "problem: onnxruntime cannot be imported: the process died of an illegal instruction; fix: pip" in out
    assert "providers:" not in out


def test_json_goes_to_a_file(facts, capsys, tmp_path):
    facts(bits=32)
    file = tmp_path / "doctor.json"
    assert doctor("--json", str(file)) == 1
    report = json.loads(file.read_text())
    assert (report["schema"], report["healthy"]) == ("doctor/1", False)
    assert report["findings"][0]["level"] == "problem"
    assert report["providers"][1] == {"name": "CPUExecutionProvider", "available": True, "problem": None}
    assert report["environment"]["python"]


def test_json_on_standard_output_is_alone_there(facts, capsys):
    facts()
    assert doctor("--json", "-") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["healthy"] is True
    assert "Nothing is wrong." in err


def test_this_machine_has_a_cpu_that_works(capsys):
    doctor()
    assert "CPUExecutionProvider    runs an LSTM, with the right answer" in capsys.readouterr().out


def test_it_works_on_a_gateway():
    # None in sys.modules makes an import fail as if the package were not installed.
    script = (
        "import sys, importlib.util\n"
        "absent = ('torch', 'onnx', 'onnxscript', 'polars', 'rich', 'safetensors', 'tomli_w')\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in absent else find(name, *rest)\n"
        "from toolkit.cli.main import main\n"
        "main(['doctor'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "note: the extra [train] is not installed: torch, onnx" in done.stdout
    assert "runs an LSTM" in done.stdout
    assert done.stderr == ""
