import pytest
import tiny_bundles


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run, to be read and not changed."""
    return tiny_bundles.shared_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def clean(whole):
    """Gives the bundle's graphs, anew each time, so that they can be damaged."""
    return lambda: tiny_bundles.graphs_of(whole)


@pytest.fixture
def exporting(monkeypatch):
    """Lets the exporter hand out ready graphs."""

    def use(protos):
        monkeypatch.setattr("toolkit.release.build.export_torch_graph", lambda graph, *_: protos[graph.name])

    return use
