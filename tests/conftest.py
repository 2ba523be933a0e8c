"""What every test may use."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Two test processes with torch's default threads each would fight for the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def sensor_data() -> Path:
    """The real sensor data, which is not part of the project."""
    place = Path(os.environ.get("LSTM_EDGE_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip("the real sensor data is not here; set LSTM_EDGE_DATA to its folder")
    return place


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished bundle's folder, to be read and not changed."""
    import tiny_bundles

    return Path(tiny_bundles.shared_bundle(tmp_path_factory.getbasetemp()))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "tiny"))


@pytest.fixture(scope="session", autouse=True)
def _operators_read_once() -> Iterator[None]:
    """torch reads its operators anew at every export, for 0.6 s each: half the time of a test of a small export."""
    from toolkit.export.graphs import operators_read_once

    with operators_read_once():
        yield
