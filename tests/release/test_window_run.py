"""A run whose model needs its window: one graph, its shortest input told, the forecast in raw units."""

import dataclasses

import numpy as np
import pytest
import torch
from sensor_tables import Silent, plain_csv, run_config, write

from toolkit.errors import ConfigError, InputError
from toolkit.release import build_bundle
from toolkit.runtime.bundle import load_bundle
from toolkit.training import ModelConfig, load_run, train

WINDOWED = ModelConfig(8, 1, normalisation="revin", patch_length=4, channel_mixing="independent")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    plain = run_config(write(tmp_path_factory.mktemp("data"), plain_csv()))
    changed = dataclasses.replace(plain.training, loss="mae", schedule="decay", max_epochs=2)
    return dataclasses.replace(plain, model=WINDOWED, training=changed)


def test_from_the_table_to_a_bundle(config, tmp_path):
    train(config, tmp_path / "run", Silent())
    run = load_run(tmp_path / "run")
    assert (run.record.model.patch_length, run.record.model.min_sequence) == (4, 4)
    assert run.record.model.target_channels == tuple(run.record.signal.target_indices)
    built = build_bundle(run, tmp_path / "bundle")
    bundle = load_bundle(built.folder)
    assert bundle.manifest.names == ("windowed",)
    assert bundle.manifest.graph("windowed").min_sizes == {"sequence": 4}
    x = run.samples[:2, :12].numpy()
    with torch.no_grad():
        wanted = run.model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(bundle.windowed().predict(x), wanted, rtol=1e-5, atol=1e-4)
    with pytest.raises(InputError, match="x is too short; got sequence 3; allowed: 4 or more"):
        bundle.windowed().predict(np.ascontiguousarray(x[:, :3]))


def test_a_patch_longer_than_the_window(config, tmp_path):
    model = dataclasses.replace(WINDOWED, patch_length=13)
    with pytest.raises(ConfigError, match=r"model.patch_length; got 13; allowed: at most the window length, 12"):
        train(dataclasses.replace(config, model=model), tmp_path / "run", Silent())
    assert list(tmp_path.iterdir()) == []
