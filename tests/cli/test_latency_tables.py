from dataclasses import replace

from latency_rows import cold, row

from toolkit.benchmark.compare import compare_reports
from toolkit.cli.latency_tables import comparison_table, latency_table
from toolkit.contract.latency_reports import AssetCapacity, Crossover, LatencyReport

LONG = {
    "provider": "TensorrtExecutionProvider",
    "precision": "fp16",
    "batch": 1024,
    "sequence": 60,
    "p50_ms": 1234.5678,
    "p99_ms": 12345.678,
    "intervals_ms": {"p50": (1000.0, 2000.0)},
    "ratio_to_torch": 10.123,
    "ratio_interval": (9.876, 10.987),
    "noisy": "too noisy to tell: rounds vary by 31%, and 25% is the most",
}


def report(*rows, **others):
    return LatencyReport(rows=rows, notes=("a note " * 30,), environment={"cpu": "x"}, **others)


def test_everything_fits_80_columns():
    start = replace(cold(), total_ms=12345.6, ratio_to_torch=11.23, memory_ratio_to_torch=4.2)
    capacity = AssetCapacity("onnxruntime", "streaming", "int8", 100.0, 1234567, 9.9, 10.0, at_limit=True)
    crossover = Crossover("windowed", "CUDAExecutionProvider", 256, (1, 64, 256, 1024), (0.1, 0.5, 1.2, 3.0))
    rows = [row(**LONG) for _ in range(9)]
    text = latency_table(report(*rows, cold=(start,), capacities=(capacity,), crossovers=(crossover,)))
    assert max(map(len, text.splitlines())) <= 80
    assert "CUDA beats the CPU from batch 256 on" in text
    assert "1,234,567 or more" in text


def test_a_row_shows_its_interval_and_whether_it_is_too_noisy():
    quiet = row(intervals_ms={"p50": (0.98, 1.01)}, ratio_to_torch=2.5, ratio_interval=(2.4, 2.55))
    noisy = replace(quiet, batch=2, noisy="too noisy to tell: 4 rounds, and an interval needs 6")
    lines = latency_table(LatencyReport((quiet, noisy), (), {})).splitlines()
    assert lines[2] == "single 1 x 12"
    assert "1.000 +-2.0%" in lines[3]
    assert lines[3].endswith("2.50 +-0.10")
    assert lines[4] == "single 2 x 12"
    assert lines[5].endswith("2.50 +-0.10 ?")
    assert lines[6:] == [
        "? single onnxruntime CPU 2 x 12: too noisy to tell: 4 rounds, and an interval",
        "  needs 6",
    ]


def test_figures_that_are_not_there_are_dashes():
    lines = latency_table(LatencyReport((row(p50_ms=None, throughput_per_s=None, cpu_s_per_1000=None),), (), {}))
    assert lines.splitlines()[3].split()[-5:] == ["-", "1.500", "-", "-", "-"]


def test_a_comparison_names_what_is_worse():
    before, after = (row(p50_ms=ms, block_medians_ms=(ms,) * 9) for ms in (1.0, 1.5))
    torch = [replace(one, contender="torch", provider="cpu") for one in (before, after)]
    found = compare_reports(report(before, torch[0]), report(after, torch[1]))
    lines = comparison_table(found).splitlines()
    ours, theirs = (line for line in lines if " p50 ms " in line)
    assert ours.split()[-4:] == ["1.5", "1.50", "+-0.00", "worse"]
    assert "worse" in theirs
    assert "(control)" in " ".join(lines)
    assert "2 figures, 1 of ours worse, beyond noise and 5 %" in lines
    assert max(map(len, lines)) <= 80
