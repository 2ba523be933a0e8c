import json
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit import __version__
from toolkit.runtime import environment as room
from toolkit.runtime.environment import cpu_features, cpu_model, environment, machine, package_versions, usable_cores

X86 = """\
processor\t: 0
model\t\t: 154
model name\t: Intel(R) Core(TM) i7-1270P
flags\t\t: fpu sse2 avx fma avx2 avx_vnni hypervisor

processor\t: 1
model name\t: something else
flags\t\t: fpu
"""
RASPBERRY_PI = """\
processor\t: 0
model name\t: ARMv8 Processor rev 1 (v8l)
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid asimddp
CPU part\t: 0xd0b

Revision\t: c04170
Serial\t\t: 10000000abcdef01
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""


def test_the_processor_is_named_by_the_first_core():
    assert cpu_model(X86) == "Intel(R) Core(TM) i7-1270P"
    assert cpu_features(X86) == ("avx", "avx2", "fma", "avx_vnni")


def test_an_arm_board_is_named_by_its_board():
    assert cpu_model(RASPBERRY_PI) == "Raspberry Pi 5 Model B Rev 1.0"
    assert cpu_features(RASPBERRY_PI) == ("asimd", "asimddp")


@pytest.mark.parametrize("cpuinfo", ["", "no colon here\n", "model name\t:\n"])
def test_a_processor_that_says_nothing_still_has_a_name(cpuinfo, monkeypatch):
    monkeypatch.setattr(room.platform, "processor", lambda: "")
    monkeypatch.setattr(room.platform, "machine", lambda: "riscv64")
    assert cpu_model(cpuinfo) == "riscv64"
    assert cpu_features(cpuinfo) == ()


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(room.os, "sched_getaffinity", lambda _: {3}, raising=False)
    monkeypatch.setattr(room.os, "cpu_count", lambda: 64)
    assert usable_cores() == 1
    monkeypatch.delattr(room.os, "sched_getaffinity")
    assert usable_cores() == 64


def test_packages_that_are_not_installed_are_left_out():
    assert package_versions(["click", "no-such-distribution-anywhere"]).keys() == {"click"}


def test_the_environment_is_json_and_complete():
    facts = json.loads(json.dumps(environment()))
    assert list(facts) == [
        "cpu",
        "cpu_features",
        "cores",
        "governor",
        "system",
        "machine",
        "bits",
        "python",
        "packages",
        "providers",
    ]
    assert facts["packages"]["lstm-edge-toolkit"] == __version__
    assert "CPUExecutionProvider" in facts["providers"]
    assert facts["cores"] >= 1


def test_the_environment_names_no_host_person_or_folder(tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(RASPBERRY_PI)
    monkeypatch.setattr(room, "_CPUINFO", cpuinfo)
    monkeypatch.setenv("USER", "somebody-in-particular")
    monkeypatch.setenv("LOGNAME", "somebody-in-particular")
    monkeypatch.setattr(room.platform, "node", lambda: "gateway-in-hall-7")
    text = json.dumps(environment())
    for private in ("10000000abcdef01", "somebody-in-particular", "gateway-in-hall-7", sys.prefix, str(Path.home())):
        assert private not in text  # the first is the board's serial number


def test_a_machine_without_proc_or_os_release_is_described(tmp_path, monkeypatch):
    def absent():
        raise OSError("no os-release")

    monkeypatch.setattr(room, "_CPUINFO", tmp_path / "absent")
    monkeypatch.setattr(room, "_GOVERNOR", tmp_path / "absent")
    monkeypatch.setattr(room.platform, "freedesktop_os_release", absent)
    facts = machine()
    assert facts["governor"] is None
    assert facts["cpu_features"] == []
    assert facts["system"]


def test_the_governor_is_read(tmp_path, monkeypatch):
    governor = tmp_path / "scaling_governor"
    governor.write_text("powersave\n")
    monkeypatch.setattr(room, "_GOVERNOR", governor)
    assert machine()["governor"] == "powersave"


def test_describing_the_machine_imports_no_heavy_package():
    script = (
        "import sys; from toolkit.runtime.environment import machine; machine();"
        "print([name for name in ('numpy', 'onnxruntime', 'torch', 'onnx', 'polars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_onnxruntime_there_are_no_providers(monkeypatch):
    monkeypatch.delitem(sys.modules, "toolkit.runtime.providers", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert environment()["providers"] == []
