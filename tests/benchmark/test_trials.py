import numpy as np
import pytest

from toolkit.benchmark.trials import ALLOWANCE, check_answers, first_line, run_trial
from toolkit.errors import ContenderError
from toolkit.runtime.bundle import load_bundle


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that a trial can run."""

    def write(code):
        (tmp_path / "contender_in_trial.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))
        return "contender_in_trial"

    return write


def test_what_works_passes_with_its_arguments(module):
    run_trial("abacus", module("import sys; print('noise'); sys.exit(sys.argv[1:] != ['a', 'b'])"), ["a", "b"])


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise ValueError('no beads')", "ValueError: no beads"),
        ("import sys; sys.exit('no beads')", "no beads"),
        ("import os; os.abort()", "the process died of its own abort"),
    ],
)
def test_what_fails_or_dies_is_one_line(module, code, told):
    with pytest.raises(ContenderError, match=f"abacus not timed: {told}") as refused:
        run_trial("abacus", module(code), [])
    assert "\n" not in str(refused.value)


def test_what_hangs_is_ended_with_all_that_it_started(module, tmp_path):
    import time
    from pathlib import Path

    code = "import subprocess, sys, time\nchild = subprocess.Popen(['sleep', '60'])\n"
    code += f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\ntime.sleep(60)\n"
    with pytest.raises(ContenderError, match="not ready within 2 s"):
        run_trial("abacus", module(code), [], 2)
    status = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    for _ in range(100):
        if not status.exists() or status.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("a child outlived the trial")


@pytest.fixture(scope="module")
def entry(whole):
    return load_bundle(whole).manifest.graph("windowed", "fp32")


def answers(entry, off=0.0):
    steps, targets = entry.outputs[0].axes[1:]
    return [np.ones((2, steps, targets)) + off * np.asarray(entry.golden_atol[entry.outputs[0].name])]


def test_answers_within_a_runtimes_rounding_pass(entry):
    check_answers("abacus", entry, answers(entry, 0.9 * ALLOWANCE), answers(entry))


@pytest.mark.parametrize("off", [1.1 * ALLOWANCE, np.nan])
def test_other_answers_are_not_timed(entry, off):
    with pytest.raises(ContenderError, match="abacus not timed: it answers forecast otherwise"):
        check_answers("abacus", entry, answers(entry, off), answers(entry))


def test_other_shapes_are_not_timed(entry):
    with pytest.raises(ContenderError, match="it gives other shapes"):
        check_answers("abacus", entry, [answers(entry)[0][:1]], answers(entry))


def test_of_a_librarys_error_the_first_line_is_told():
    assert first_line(RuntimeError("\nno beads\n  at 0x1\n")) == "no beads"
    assert first_line(RuntimeError()) == "RuntimeError"
