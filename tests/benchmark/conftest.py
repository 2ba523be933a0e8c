import shutil

import pytest
import tiny_bundles


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A finished bundle's folder, to be read and not changed."""
    return tiny_bundles.shared_bundle(tmp_path_factory.getbasetemp())


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of the bundle, to be damaged."""
    return shutil.copytree(whole, tmp_path / "tiny")
