"""Rows of a latency report as tests want them."""

from dataclasses import replace

from toolkit.contract.latency_reports import ColdStart, LatencyRow

CPU = "CPUExecutionProvider"


def row(scenario="single", p99=1.5, predictor="predict", batch=1, **changes):
    graph = "streaming" if scenario == "stream" else "windowed"
    whole = LatencyRow(
        scenario=scenario,
        contender="onnxruntime",
        graph=graph,
        provider=CPU,
        precision="fp32",
        batch=batch,
        sequence=1 if graph == "streaming" else 12,
        threads=1,
        count=10,
        p50_ms=1.0,
        p90_ms=1.2,
        p99_ms=p99,
        max_ms=9.0,
        throughput_per_s=1000.0,
        cpu_s_per_1000=0.5,
        rss_mb=None,
        ratio_to_torch=None,
        options={"predictor": predictor},
    )
    return replace(whole, **changes)


def cold(contender="onnxruntime", rss=60.0):
    return ColdStart(contender, "windowed", CPU, "fp32", 7, 100.0, 10.0, 1.0, 111.0, rss, 70.0)
