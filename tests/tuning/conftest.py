import pytest
import sensor_tables


@pytest.fixture(scope="session")
def plant(tmp_path_factory):
    """A table without a fault."""
    return sensor_tables.write(tmp_path_factory.mktemp("plant"), sensor_tables.plain_csv())
