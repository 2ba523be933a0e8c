"""Makes exported/pump-station: two layers of 64 units on nine channels of simulated plant data.

Run it from the repository: python tests/make_reference_bundle.py
The result differs in the last digits from one processor to another, so it is kept in git and not made by the tests.
"""

import tempfile
from pathlib import Path

from toolkit.cli.progress import TrainingProgress
from toolkit.release import Options, build_bundle
from toolkit.release.plant_demo import demo_config, write_demo_plant
from toolkit.training import load_run, train

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder, "plant.csv"), Path(folder, "pump-station")
        print(write_demo_plant(data))
        config = demo_config(data)
        with TrainingProgress(config.training.max_epochs) as progress:
            print(train(config, run, progress).verdict)
        built = build_bundle(load_run(run), ROOT / "exported" / "pump-station", Options(overwrite=True))
        print(built.parity.summary)


if __name__ == "__main__":
    main()
