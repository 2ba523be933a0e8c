"""Where the time of one call goes: Python, onnxruntime's overhead, and operators, layers and gates beside the floor.

    python benchmarks/where_time_goes.py --json benchmarks/results/profile-pump-station.json --picture profile.svg

Profiles the reference bundle for a window of 60, for one streaming step and for a chunk of windows as bulk runs them,
on one thread, and writes a picture for each: `profile-windowed.svg`, `profile-streaming.svg`,
`profile-windowed-32.svg`. Run it with `OMP_NUM_THREADS=1` on a quiet machine.
"""

import argparse
import json
from pathlib import Path

from toolkit.atomic_files import write_text
from toolkit.benchmark.profile import profile_graph
from toolkit.cli.profile_picture import profile_svg
from toolkit.cli.profile_tables import profile_table
from toolkit.contract.records import encode
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.chunks import CHUNK

WINDOW = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=Path("exported/pump-station"))
    parser.add_argument("--seconds", type=float, default=10.0, help="for each graph")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    bundle = load_bundle(given.bundle)
    profiles = [
        profile_graph(bundle, "windowed", sequence=WINDOW, seconds=given.seconds),
        profile_graph(bundle, "streaming", seconds=given.seconds),
        profile_graph(bundle, "windowed", batch=CHUNK, sequence=WINDOW, seconds=given.seconds),
    ]
    for profile in profiles:
        print(profile_table(profile), end="\n\n")
        if given.picture is not None:
            size = f"-{profile.batch}" if profile.batch > 1 else ""
            name = f"{given.picture.stem}-{profile.graph}{size}{given.picture.suffix}"
            write_text(given.picture.with_name(name), profile_svg(profile))
    if given.json is not None:
        write_text(given.json, json.dumps({"profiles": encode(profiles)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
