import dataclasses
import json
import sys
from pathlib import Path

import pytest
import tiny_bundles

from toolkit.benchmark import worker_service
from toolkit.benchmark.worker_protocol import Start, Worker, WorkerProcess
from toolkit.benchmark.workers import asked_sizes, bundle_workers, request_line
from toolkit.errors import BundleError, RequestError
from toolkit.parity.torch_worker import torch_worker_spec
from toolkit.runtime.bundle import load_bundle

READY = 'print(\'{"session_ns": 2, "first_answer_ns": 3}\', flush=True)'


def worker_of(code: str) -> Worker:
    """A process that runs this code after it has read its request."""
    argv = (sys.executable, "-I", "-S", "-c", "import sys, time\nrequest = sys.stdin.readline()\n" + code)
    return Worker("onnxruntime", argv, "windowed", "CPUExecutionProvider", "fp32", 1, "[]")


def started(code: str, **limits: float) -> None:
    with WorkerProcess(worker_of(code), **limits):
        pass


def test_a_process_that_dies_is_one_line_with_its_last_words() -> None:
    with pytest.raises(RequestError) as raised:
        started("sys.stderr.write('Traceback\\nIllegal instruction\\n')\nsys.exit(3)")
    assert str(raised.value) == "the process of onnxruntime ended with status 3; got Illegal instruction"


@pytest.mark.parametrize("said", ["hello", "[1, 2]", '{"session_ns": "no", "first_answer_ns": 1}', '{"other": 1}'])
def test_a_process_that_says_something_else_is_one_line(said: str) -> None:
    with pytest.raises(RequestError, match="the process of onnxruntime says something") as raised:
        started(f"print({said!r}, flush=True)\ntime.sleep(60)")
    assert "\n" not in str(raised.value)


def test_a_process_that_says_what_is_no_text_is_one_line() -> None:
    with pytest.raises(RequestError, match="not its protocol"):
        started("sys.stdout.buffer.write(b'\\xff\\xfe\\n')\nsys.stdout.flush()\ntime.sleep(60)")


def test_a_process_that_hangs_is_ended() -> None:
    with pytest.raises(RequestError, match=r"does not answer within 0\.2 s"):
        started("time.sleep(60)", start_limit_s=0.2)


def test_a_command_that_is_not_answered_is_ended() -> None:
    with (
        pytest.raises(RequestError, match=r"does not answer within 0\.2 s"),
        WorkerProcess(worker_of(READY + "\ntime.sleep(60)"), answer_limit_s=0.2) as process,
    ):
        process.calls(1)


def test_a_process_that_dies_between_commands_is_one_line() -> None:
    with WorkerProcess(worker_of(READY)) as process, pytest.raises(RequestError, match="ended with status 0"):
        process.paced(50, 1)


@pytest.mark.parametrize("answer", ["{}", '{"service_ns": 1, "late_ns": [], "cpu_ns": 1}'])
def test_an_answer_without_times_is_one_line(answer: str) -> None:
    code = f"{READY}\nsys.stdin.readline()\nprint({answer!r}, flush=True)\ntime.sleep(60)"
    with WorkerProcess(worker_of(code)) as process, pytest.raises(RequestError, match="something else than times"):
        process.paced(50, 1)


def test_an_answer_without_memory_is_one_line() -> None:
    code = f"{READY}\nsys.stdin.readline()\nprint('{{}}', flush=True)\ntime.sleep(60)"
    with WorkerProcess(worker_of(code)) as process, pytest.raises(RequestError, match="else than its memory"):
        process.calls(1)


def test_a_process_that_cannot_be_started_is_one_line() -> None:
    missing = dataclasses.replace(worker_of(""), argv=("/no/such/python",))
    with pytest.raises(RequestError, match="cannot start onnxruntime; got /no/such/python: No such file"):
        WorkerProcess(missing)


def test_a_full_standard_error_does_not_stop_a_process() -> None:
    started("sys.stderr.write('x' * 1000000)\n" + READY)


def test_the_environment_reaches_the_process() -> None:
    code = "import os\nassert os.environ['LSTM_EDGE_TEST'] == 'here'\n" + READY
    with WorkerProcess(dataclasses.replace(worker_of(code), environment={"LSTM_EDGE_TEST": "here"})) as process:
        assert (process.start.session_ns, process.start.first_answer_ns) == (2, 3)


def test_import_is_what_session_and_first_answer_leave_of_the_total() -> None:
    assert Start(total_ns=100, session_ns=30, first_answer_ns=5).import_ns == 65


def test_a_bundle_that_is_refused_is_told_in_the_words_of_the_refusal(whole: Path, tmp_path: Path) -> None:
    worker = bundle_workers(whole)[0]
    gone = tuple(str(tmp_path / "gone") if part == str(whole.resolve()) else part for part in worker.argv)
    with pytest.raises(BundleError, match="onnxruntime in its own process: there is no bundle"):
        WorkerProcess(dataclasses.replace(worker, argv=gone))


def test_each_contender_answers_and_tells_its_memory(whole: Path) -> None:
    workers = [*bundle_workers(whole), torch_worker_spec(whole)]
    assert [worker.contender for worker in workers] == ["onnxruntime", "default session", "torch"]
    for worker in workers:
        with WorkerProcess(worker) as process:
            turn, memory = process.paced(200, 0.05), process.calls(3)
        assert len(turn.service_ns) == len(turn.late_ns) == 10
        assert memory.rss_mb is None or 0 < memory.rss_mb <= memory.peak_rss_mb
        assert process.start.import_ns > 0


def test_a_stream_carries_its_state_from_call_to_call(folder: Path) -> None:
    manifest = tiny_bundles.manifest_of(folder)
    (folder / "windowed.onnx").unlink()
    graphs = tuple(entry for entry in manifest.graphs if entry.name == "streaming")
    files = {name: entry for name, entry in manifest.files.items() if name != "windowed.onnx"}
    alone = dataclasses.replace(manifest, graphs=graphs, files=files)
    (folder / "manifest.json").write_text(alone.to_json(), encoding="utf-8")
    for worker in [*bundle_workers(folder), torch_worker_spec(folder)]:
        assert worker.graph == "streaming"
        with WorkerProcess(worker) as process:
            process.calls(2)


def test_a_bundle_without_weights_has_no_torch(folder: Path) -> None:
    tiny_bundles.leave_out(folder, "weights.safetensors")
    assert torch_worker_spec(folder) is None


def test_the_request_is_one_window_of_the_golden_vectors(whole: Path) -> None:
    loaded = load_bundle(whole)
    ((name, shape, numbers),) = json.loads(request_line(loaded))
    assert (name, tuple(shape[:2])) == ("x", asked_sizes(loaded)) == ("x", (1, loaded.manifest.window_length))
    assert len(numbers) == shape[0] * shape[1] * shape[2]


class FakeClock:
    """Moves only when someone sleeps or works; a sleep ends a little early, as a system's may."""

    def __init__(self) -> None:
        self.now, self.cpu, self.slept = 0, 0, 0

    def now_ns(self) -> int:
        return self.now

    def cpu_ns(self) -> int:
        return self.cpu

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept += 1
        self.now += max(1, round(seconds * 1e9) - 1000)

    def work(self, ns: int) -> None:
        self.now += ns
        self.cpu += ns


def test_requests_are_due_by_the_clock_and_not_by_the_last_answer() -> None:
    clock, calls = FakeClock(), 0

    def call() -> None:
        nonlocal calls
        calls += 1
        clock.work(25_000_000 if calls == worker_service.LEAD_IN + 2 else 1_000_000)  # the second is late for the third

    told = worker_service.paced(call, clock, 100, 0.04)
    assert told["service_ns"] == [1_000_000, 25_000_000, 1_000_000, 1_000_000]
    assert told["late_ns"] == [1_000_000, 25_000_000, 16_000_000, 7_000_000]
    assert told["cpu_ns"] == 28_000_000
    assert calls == worker_service.LEAD_IN + 4


def test_the_window_ends_one_period_after_the_last_request() -> None:
    clock = FakeClock()
    worker_service.paced(lambda: clock.work(1_000_000), clock, 100, 0.02)
    assert clock.now == worker_service.LEAD_IN * 1_000_000 + 10_000_000 + 20_000_000


def test_at_least_one_request_is_made() -> None:
    clock = FakeClock()
    assert worker_service.paced(lambda: clock.work(5), clock, 1, 0.001)["service_ns"] == [5]


def test_commands_are_answered_until_the_end() -> None:
    said: list[str] = []
    calls: list[int] = []
    commands = ['["calls", 3]', '["quit"]', '["calls", 9]']
    worker_service.serve(lambda: calls.append(1), commands, said.append)
    assert len(calls) == 3
    assert set(json.loads(said[0])) == {"rss_mb", "peak_rss_mb"}
    assert len(said) == 1


def test_memory_is_read_in_megabytes(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t  2000 kB\nVmRSS:\t  1000 kB\n", encoding="utf-8")
    assert worker_service.memory(status) == {"rss_mb": 1.024, "peak_rss_mb": 2.048}


def test_memory_that_nobody_tells_is_none(tmp_path: Path) -> None:
    told = worker_service.memory(tmp_path / "none")
    assert told["rss_mb"] is None


def test_modules_are_compiled_once_and_not_at_every_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    code = "assert not sys.dont_write_bytecode\n" + READY
    worker = worker_of(code)
    looking = tuple(part for part in worker.argv if part != "-I")  # which looks at no variable
    with WorkerProcess(dataclasses.replace(worker, argv=looking)) as process:
        assert process.start.session_ns == 2
