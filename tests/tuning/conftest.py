import pytest
import sensor_tables

from toolkit.training import load_run, train


@pytest.fixture(scope="session")
def plant(tmp_path_factory):
    """A table without a fault."""
    return sensor_tables.write(tmp_path_factory.mktemp("plant"), sensor_tables.plain_csv())


@pytest.fixture(scope="session")
def trained(plant, tmp_path_factory):
    """A finished run's folder, to be read and not changed."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(sensor_tables.run_config(plant), folder, sensor_tables.Silent())
    return load_run(folder)
