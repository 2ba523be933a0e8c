r"""What the gateway promises, shown: load, faults, bad input, footprint.

    OMP_NUM_THREADS=1 python benchmarks/gateway.py load --rate 3000 --json benchmarks/results/gateway-load.json
    OMP_NUM_THREADS=1 python benchmarks/gateway.py load --rate 1500 --seconds 60 \
        --json benchmarks/results/gateway-latency.json
    OMP_NUM_THREADS=1 python benchmarks/gateway.py faults --rounds 200 --json benchmarks/results/gateway-faults.json
    OMP_NUM_THREADS=1 python benchmarks/gateway.py fuzz --json benchmarks/results/gateway-fuzz.json
    OMP_NUM_THREADS=1 python benchmarks/gateway.py footprint --json benchmarks/results/gateway-footprint.json

Each runs `lstm-edge gateway run` as a process of its own against mosquitto (Debian: apt-get install mosquitto) and
ends with 1 where a promise is not kept. The faults of links, disks and clocks need root and libfaketime; `--only` takes
some kinds alone. `load` wants a machine with two cores that is quiet.
"""

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import gateway_faults
import gateway_footprint
import gateway_fuzz
import gateway_load
from gateway_bundle import sample_bundle

from toolkit.atomic_files import write_text
from toolkit.runtime.environment import environment

FAULT_INTERVAL_S = 10
FUZZED = (70_000, 25_000, 5_000)
"""Payloads, manifests, bundles."""


def load(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[str], bool]:
    wanted = gateway_load.Load(
        assets=options.assets,
        rate=options.rate,
        seconds=options.seconds,
        together=options.together,
        durable=options.durable_broker,
        pinned=not options.unpinned,
    )
    told = gateway_load.measure(wanted, folder)
    return told, gateway_load.lines(told), told["held"]


def faults(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[str], bool]:
    bundle = sample_bundle(folder / "bundle", FAULT_INTERVAL_S)
    plan = gateway_faults.Faults(
        folder, bundle, options.rounds, options.broker_rounds, options.cut_seconds, seed=options.seed
    )
    told, written = {}, []
    for name in options.only or gateway_faults.KINDS:
        told[name] = gateway_faults.KINDS[name](plan)
        lines = gateway_faults.lines(name, told[name])
        print("\n".join(lines), flush=True)
    return told, written, all(one["whole"] for one in told.values())


def fuzz(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[str], bool]:
    counts = tuple(max(1, int(count * options.share)) for count in FUZZED)
    told = gateway_fuzz.fuzz(sample_bundle(folder / "bundle", 10), folder / "fuzzed", counts, options.seed)
    kinds = [told[name] for name in ("payloads", "manifests", "bundles")]
    return told, gateway_fuzz.lines(told), not any(one["crashes"] or one["wrong_accepts"] for one in kinds)


def footprint(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[str], bool]:
    told = gateway_footprint.measure(folder, options.seconds)
    told["verdicts"] = gateway_footprint.verdicts(told)
    return told, gateway_footprint.lines(told), all(told["verdicts"].values())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("load", help="messages a second on one core, and how soon forecasts are there")
    one.set_defaults(run=load)
    one.add_argument("--rate", type=float, default=3000.0, help="messages a second (default 3000)")
    one.add_argument("--seconds", type=float, default=300.0, help="in real time (default 300)")
    one.add_argument("--assets", type=int, default=1000, help="of three variables each (default 1000)")
    one.add_argument("--together", action="store_true", help="all samples of a moment are sent at once")
    one.add_argument("--durable-broker", action="store_true", help="the broker writes every change at once, too")
    one.add_argument("--unpinned", action="store_true", help="no core is kept for the gateway")
    one = commands.add_parser("faults", help="kills, a cut link, a full disk, a clock that jumps")
    one.set_defaults(run=faults)
    one.add_argument("--rounds", type=int, default=200, help="kills of the gateway (default 200)")
    one.add_argument("--broker-rounds", type=int, default=10, help="kills of the broker (default 10)")
    one.add_argument("--cut-seconds", type=float, default=60.0, help="without a link (default 60)")
    one.add_argument("--only", nargs="+", choices=list(gateway_faults.KINDS), help="these kinds")
    one.add_argument("--seed", type=int, default=0)
    one = commands.add_parser("fuzz", help="bad payloads, manifests and bundles")
    one.set_defaults(run=fuzz)
    one.add_argument("--share", type=float, default=1.0, help="of 100,000 (default 1)")
    one.add_argument("--seed", type=int, default=0)
    one = commands.add_parser("footprint", help="distributions, imports, start, idle cost, bytes written")
    one.set_defaults(run=footprint)
    one.add_argument("--seconds", type=float, default=120.0, help="at 10 messages a second (default 120)")
    for one in commands.choices.values():
        one.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written")
        one.add_argument("--keep", type=Path, metavar="DIR", help="a folder that is to be; its files are left there")
    return parser


def main() -> None:
    """Measures, prints, writes."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # so that what was started is ended
    with tempfile.TemporaryDirectory(prefix="gateway-", ignore_cleanup_errors=True) as scratch:
        told, lines, kept = options.run(options, options.keep or Path(scratch))
    print("\n".join(lines), flush=True)
    if options.json is not None:
        report = {"command": sys.argv[1], "figures": told, "kept": kept, "environment": environment()}
        write_text(options.json, json.dumps(report, indent=2, default=str) + "\n")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
