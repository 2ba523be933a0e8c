"""Writes the tables and plots of benchmarks/README.md from what stands in benchmarks/results.

    python benchmarks/write_readme.py           # writes them
    python benchmarks/write_readme.py --check   # ends with status 1 where the page says something else

Between the marks `<!-- NAME -->` and `<!-- end -->` nothing is written by hand; what stands around them is.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pictures import Mark, ratio_plot

from toolkit.atomic_files import write_text

HERE = Path(__file__).resolve().parent
PAGE, RESULTS, PLOTS = HERE / "README.md", HERE / "results", HERE / "plots"
SECTION = re.compile(r"(<!-- ([a-z0-9-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
PROCESSES = {
    "cpu": "CPU seconds at 50 Hz: default session / ours",
    "start": "start to first answer: torch / ours",
    "memory": "resident memory: torch / ours",
}


def result(name: str) -> dict[str, Any]:
    """A recorded report."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines) + "\n"


def machine(name: str) -> str:
    """The machine that a report was taken on, in a line."""
    of = result(name)["environment"]
    vectors = next((kind for kind in ("avx512f", "avx2", "asimd") if kind in of["cpu_features"]), "no vector unit")
    packages = of["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("onnxruntime", "torch", "numpy") if name in packages)
    return f"{of['cpu']} ({vectors}), {of['cores']} cores, {versions}."


def claims() -> list[Mark]:
    speed = result("runtime-speed")["claims"]
    told = [Mark(c["claim"], c["ratio"], *c["interval"], c["must"], c["aim"]) for c in speed]
    processes = result("processes")["verdicts"]
    return told + [
        Mark(PROCESSES[key], v["ratio"], *v["interval"], v["must"], v["aim"]) for key, v in processes.items()
    ]


def speed_table() -> str:
    rows = [
        [m.name, f"**{m.value:.2f}**", f"{m.low:.2f} to {m.high:.2f}", f"{m.must:g}", f"{m.aim:g}", _reached(m)]
        for m in claims()
    ]
    guards = ", ".join(f"{cost:.2f} us for a {name}" for name, cost in result("runtime-speed")["guards_us"].items())
    plot = "![ratios with their intervals](plots/runtime-speed.svg)\n"
    header = ["ratio", "measured", "95 % interval", "must", "aim", ""]
    share = f"{100 * result('runtime-speed')['guards_share_in_bulk']:.1f} % of the call of a chunk"
    told = f"Guards alone: {guards}, {share}. {machine('runtime-speed')}"
    return f"{table(header, rows)}\n{plot}\n{told}\n"


def _reached(mark: Mark) -> str:
    if mark.aim is not None and mark.value >= mark.aim:
        return "aim met"
    return "must met" if mark.must is None or mark.value >= mark.must else "**missed**"


def bulk_table() -> str:
    of = result("bulk")
    rows = [
        [name, f"{median(of['block_medians_ns'][name]) / 1e6:.0f} ms", f"{ratio:.2f}"]
        for name, ratio in of["ratios"].items()
    ]
    return table(["1,024 windows of 60", "median", "times as fast as one plain call"], rows)


def assets_table() -> str:
    found: dict[tuple[str, str], dict[float, Any]] = {}
    for row in result("assets")["capacities"]:
        found.setdefault((row["graph"], row["precision"]), {})[row["rate_hz"]] = row["assets"]
    rates = sorted({rate for of in found.values() for rate in of})
    rows = [[f"{graph}, {kind}", *(f"{of.get(rate, 0):,}" for rate in rates)] for (graph, kind), of in found.items()]
    return table(["assets on one core", *(f"{rate:g} Hz" for rate in rates)], rows)


def profile_table() -> str:
    rows = []
    for of in result("profile-pump-station")["profiles"]:
        parts = [of["python_us"], of["overhead_us"], of["kernels_us"]]
        shares = [f"{100 * part / of['predict_us']:.0f} %" for part in parts]
        call = f"{of['graph']}, {of['batch']} x {of['sequence']}"
        floor = [f"{of['floor_us']:,.1f} us", f"{of['distance']:.1f}"]
        rows.append([call, f"{of['predict_us']:,.1f} us", *shares, *floor])
    header = ["call", "takes", "Python and guards", "onnxruntime around", "its operators", "floor", "call / floor"]
    plots = "![a window of 60](plots/profile-windowed.svg)\n\n![a step](plots/profile-streaming.svg)\n"
    return f"{table(header, rows)}\n{plots}"


def latency_table() -> str:
    rows = []
    for row in result("latency-pump-station")["rows"]:
        low, high = row["ratio_interval"] or (0.0, 0.0)
        ratio = "" if row["contender"] == "torch" else f"{row['ratio_to_torch']:.2f} ({low:.2f} to {high:.2f})"
        name = row["contender"] + (f", {row['options']['predictor']}" if "predictor" in row["options"] else "")
        size = f"{row['batch']} x {row['sequence']}"
        rows.append(
            [row["scenario"], name, size, f"{1000 * row['p50_ms']:,.0f}", f"{1000 * row['p99_ms']:,.0f}", ratio]
        )
    header = ["scenario", "contender", "batch x samples", "p50 us", "p99 us", "torch / this"]
    return f"{table(header, rows)}\n{machine('latency-pump-station')}\n"


def score_table() -> str:
    of = result("score")
    rows = [
        [f"{m['table']}, {m['cores']} cores", f"{m['raw_per_s']:,.0f}", f"{m['score_per_s']:,.0f}", f"{m['ratio']:.2f}"]
        for m in of["throughput"]
    ]
    peaks = [[m["table"], f"{m['file_mb']:.0f} MB", f"{m['peak_mb']:.0f} MB"] for m in of["memory"]]
    speed = table(["windows a second", "`BulkPredictor` in memory", "`score`, file to file", "ratio"], rows)
    return f"{speed}\n{table(['memory', 'file', 'peak'], peaks)}"


SUBJECTS = {"forecaster": "the toolkit's", "hand-written": "zeros made by hand", "plain step": "LSTM with its state"}


def export_table() -> str:
    found: dict[str, dict[tuple[int, int], Any]] = {}
    for m in result("export-speed")["measurements"]:
        kind, size = re.match(r"(.*?) (\d+ x \d+)", m["subject"]).groups()  # type: ignore[union-attr]
        found.setdefault(f"{SUBJECTS.get(kind, kind)}, {size}", {})[m["batch"], m["sequence"]] = m
    rows = [[name, *_export_cells(of)] for name, of in found.items()]
    header = ["module", "window 20: graphs", "users", "window 60: graphs", "users", "one step: graphs", "users"]
    return table([*header, "64 windows of 60: graphs", "users"], rows)


def _export_cells(of: Mapping[tuple[int, int], Any]) -> list[str]:
    cells: list[str] = []
    for shape, users in (
        ((1, 20), "product"),
        ((1, 60), "product"),
        ((1, 1), "product_live"),
        ((64, 60), "product_bulk"),
    ):
        m = of.get(shape)
        cells += ["", ""] if m is None else [f"{m['ratio']:.2f}", f"{m[f'ratio_{users}']:.2f}"]
    return cells


def features_table() -> str:
    rows = []
    for m in result("features")["measurements"]:
        p50, ratio = m["p50_ms"], m["ratio"]
        others = [f"{p50[name]:,.0f} ms, {ratio[name]:.1f} times" for name in ("pandas", "polars")]
        rows.append([f"{m['variables']} x {m['samples_each'] // 10**6} million", f"{p50['toolkit']:.0f} ms", *others])
    header = ["samples", "this function", "pandas `resample().agg()`", "polars `group_by_dynamic`"]
    return table(header, rows)


def accuracy_table() -> str:
    def pair(errors: Mapping[str, float]) -> str:
        return f"{errors['mse']:.3f} / {errors['mae']:.3f}"

    rows = []
    for row in result("accuracy-etth1")["rows"]:
        others = [pair(row["baselines"][name]) for name in ("linear", "seasonal", "persistence")]
        seeds = ", ".join(f"{seed['mse']:.3f}" for seed in row["seeds"])
        rows.append([f"{row['window']} -> {row['horizon']}", pair(row), seeds, *others])
    header = ["window -> horizon", "this model", "seeds (MSE)", "linear, closed form", "same hour yesterday"]
    return table([*header, "persistence"], rows)


def defaults_table() -> str:
    rows = result("defaults")["rows"]
    data = list(dict.fromkeys(row["data"] for row in rows))
    by_model: dict[str, dict[str, float]] = {}
    for name in ("persistence", "seasonal", "linear"):
        by_model[name] = {row["data"]: row["baselines"][name] for row in rows}
    for row in rows:
        by_model.setdefault(row["model"], {})[row["data"]] = row["mse"]
    lines = [[model, *(f"{of[name]:.3f}" for name in data)] for model, of in by_model.items()]
    return table(["MSE, standardised", *data], lines)


LOADS = ("gateway-load", "gateway-load-6000", "gateway-latency", "gateway-together")


def gateway_load_table() -> str:
    rows = []
    for name in LOADS:
        of = result(name)["figures"]
        asked, gateway, latency = of["load"], of["gateway"], of["latency_ms"]
        rows.append(
            [
                f"{asked['rate']:,.0f}{', all of a moment at once' if asked['together'] else ''}",
                f"{asked['seconds']:.0f} s, {'held' if of['held'] else '**not held**'}",
                f"{100 * gateway['cpu_share']:.0f} % of a core, {gateway['cpu_us_per_message']:.0f} us each",
                f"{of['forecasts']['came']:,} of {of['forecasts']['expected']:,}",
                *(f"{latency[rank]:.0f}" for rank in ("p50", "p99")),
                f"{gateway['rss_mb_last']:.0f} MB ({gateway['rss_mb_per_hour']:+.0f} MB an hour)",
            ]
        )
    header = ["messages a second", "for", "gateway's CPU", "forecasts", "p50 ms", "p99 ms", "resident"]
    return table(header, rows) + f"\n{machine('gateway-load')}\n"


def gateway_faults_table() -> str:
    told = {
        "kill": "kill -9 of the gateway under load",
        "broker": "kill -9 of the broker",
        "link": "link cut",
        "disk": "disk full",
        "clock": "clock stepped an hour, both ways",
    }
    rows = []
    for kind, of in result("gateway-faults")["figures"].items():
        samples, forecasts = of["samples"], of["forecasts"]
        rows.append(
            [
                f"{told[kind]}, {of['faults']} times",
                f"{samples['sent']:,}",
                f"{forecasts['expected']:,}",
                *(forecasts[fault] for fault in ("lost", "duplicates", "other_values")),
                forecasts["repeated"],
            ]
        )
    header = ["fault", "samples", "forecasts", "lost", "doubled", "other values", "sent again, equal"]
    return table(header, rows) + f"\n{machine('gateway-faults')}\n"


def gateway_rest_table() -> str:
    fuzz, foot = result("gateway-fuzz")["figures"], result("gateway-footprint")["figures"]
    idle, ready = foot["at_10_messages_per_s"], foot["ready_s"]
    parts = (fuzz["payloads"], fuzz["manifests"], fuzz["bundles"])
    tried = ", ".join(
        f"{of['tried']:,} {name}" for name, of in zip(("payloads", "manifests", "bundles"), parts, strict=True)
    )
    rows = [
        [f"crashes on fuzzed input: {tried}", sum(of["crashes"] for of in parts), "0"],
        ["taken of it that should not have been", sum(of["wrong_accepts"] for of in parts), "0"],
        ["distributions, itself included", len(foot["distributions"]), "at most 8"],
        ["ready, first start with its trial", f"{ready['first']:.2f} s", "under 1 s"],
        ["ready, later starts", f"{ready['median']:.2f} s", "under 1 s"],
        ["CPU at 10 messages a second", f"{100 * idle['cpu_share']:.2f} % of a core", "below 2 %"],
        ["written a day at 10 messages a second", f"{idle['gb_per_day']:.2f} GB", "at most 5 GB"],
        ["end in order", f"{idle['graceful_stop_s']:.2f} s", "within 2 s"],
    ]
    return table(["what", "measured", "must"], rows) + f"\n{machine('gateway-footprint')}\n"


SECTIONS: dict[str, Callable[[], str]] = {
    "runtime-speed": speed_table,
    "bulk": bulk_table,
    "assets": assets_table,
    "profile": profile_table,
    "latency": latency_table,
    "score": score_table,
    "export-speed": export_table,
    "features": features_table,
    "accuracy": accuracy_table,
    "defaults": defaults_table,
    "gateway-load": gateway_load_table,
    "gateway-faults": gateway_faults_table,
    "gateway-rest": gateway_rest_table,
}


def plots() -> dict[str, str]:
    """Each plot by its file's name."""
    of = result("bulk")
    whole = of["block_medians_ns"]["one plain call"]
    marks = []
    for name, own in of["block_medians_ns"].items():
        rounds = sorted(plain / one for plain, one in zip(whole, own, strict=True))
        marks.append(Mark(name, of["ratios"][name], _rank(rounds, 0.05), _rank(rounds, 0.95)))
    return {
        "runtime-speed.svg": ratio_plot(
            "How many times as fast, or as small", "95 % intervals; red: must, green: aim", claims()
        ),
        "bulk.svg": ratio_plot(
            "1,024 windows of 60", "times as fast as one plain call; nine in ten rounds lie within the line", marks
        ),
    }


def _rank(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def page(text: str) -> str:
    """The page with its sections written anew."""
    return SECTION.sub(lambda found: found[1] + SECTIONS[found[2]]() + found[4], text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 where something differs")
    options = parser.parse_args()
    wanted = {PAGE: page(PAGE.read_text(encoding="utf-8")), **{PLOTS / name: svg for name, svg in plots().items()}}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if options.check and stale:
        sys.exit(f"{stale[0].name} is not what the results say; fix: python benchmarks/write_readme.py")
    PLOTS.mkdir(exist_ok=True)
    for path in () if options.check else stale:
        write_text(path, wanted[path])


if __name__ == "__main__":
    main()
