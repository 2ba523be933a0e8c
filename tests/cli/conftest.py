"""A small run and bundle, made once, and the command line as a function."""

from pathlib import Path

import pytest
from command_line import FAST, SMALL, TRAIN, Cli, Result

from toolkit.cli.main import main


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        code = end.value.code
        captured = capsys.readouterr()
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pump station for a day and a half, as CSV."""
    from toolkit.data.plant_files import write_plant
    from toolkit.signal.plant import simulate_plant

    path = tmp_path_factory.mktemp("plant") / "plant.csv"
    write_plant(simulate_plant(1, 1.5, faults=False, dropouts=False), path)
    return path


@pytest.fixture(scope="session")
def small_run(plant: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    with pytest.raises(SystemExit) as end:
        main(["train", "--data", str(plant), *TRAIN, *SMALL, *FAST, "--run", str(folder)])
    assert not end.value.code
    return folder


@pytest.fixture(scope="session")
def small_bundle(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle."""
    folder = tmp_path_factory.mktemp("exported") / "small"
    with pytest.raises(SystemExit) as end:
        main(["export", str(small_run), "--out", str(folder)])
    assert not end.value.code
    return folder
