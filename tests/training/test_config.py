import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_tables import data_config

from toolkit.errors import ConfigError
from toolkit.training import ModelConfig, RunConfig, TrainConfig, training_config

GIVEN = {"file": "plant.csv", "timestamp": "time", "targets": ("temperature",)}


def configured(*changes, **data):
    return training_config(None, {**GIVEN, **data}, changes)


def from_text(folder, text, *changes, **data):
    path = folder / "lstm-edge.toml"
    path.write_text(text)
    return training_config(path, data, changes)


def test_options_alone_are_a_configuration():
    config = configured(window_length=96, horizon=None, exclude=())
    assert config.data.window_length == 96
    assert config.data.horizon == 12
    assert config.training == TrainConfig()
    assert config.model == ModelConfig()


def test_a_file_gives_way_to_options_and_options_to_settings(tmp_path):
    text = """
        [data]
        file = "plant.csv"
        timestamp = "time"
        targets = ["temperature"]
        window_length = 10
        horizon = 10
        stride = 10
    """
    data = from_text(tmp_path, text, "data.stride=30", "data.horizon=30", horizon=20, stride=20).data
    assert (data.window_length, data.horizon, data.stride) == (10, 30, 30)


@pytest.mark.parametrize(
    ("setting", "table", "key", "value"),
    [
        ("training.max_epochs=20", "training", "max_epochs", 20),
        (" training.max_epochs = 20 ", "training", "max_epochs", 20),
        ("training.learning_rate=1", "training", "learning_rate", 1.0),
        ("training.learning_rate=1e-4", "training", "learning_rate", 1e-4),
        ("training.optimizer=adamw", "training", "optimizer", "adamw"),
        ('training.optimizer="adamw"', "training", "optimizer", "adamw"),
        ("model.dropout=0.25", "model", "dropout", 0.25),
        ("data.missing=break", "data", "missing", "break"),
        ("data.interval_s=60", "data", "interval_s", 60.0),
        ("data.split=[0.5, 0.25, 0.25]", "data", "split", (0.5, 0.25, 0.25)),
        ('data.units={pressure = "Pa"}', "data", "units", {"pressure": "Pa"}),
        ("data.file=a=b.csv", "data", "file", "a=b.csv"),
    ],
)
def test_a_setting_is_read_as_what_it_looks_like(setting, table, key, value):
    found = getattr(getattr(configured(setting), table), key)
    assert found == value
    assert type(found) is type(value)


def test_the_last_of_two_settings_counts():
    assert configured("model.hidden_size=8", "model.hidden_size=16").model.hidden_size == 16


def test_settings_alone_are_enough():
    settings = ("data.file=plant.csv", "data.timestamp=time", 'data.targets=["temperature"]')
    assert training_config(None, {}, settings) == configured()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.max_epoch=20", "training has an unknown key; got 'max_epoch'.*did you mean 'max_epochs'"),
        (
            "trainig.max_epochs=20",
            "unknown key; got 'trainig'; allowed: data, model, training, features; fix: did you mean",
        ),
        ("training.max_epochs=many", "training: max_epochs; got 'many'; allowed: a whole number"),
        ("training.max_epochs=2.5", "max_epochs; got 2.5; allowed: a whole number"),
        ("training.max_epochs=true", "max_epochs; got True; allowed: a whole number"),
        ("training.max_epochs=", "max_epochs; got ''; allowed: a whole number"),
        ("training.max_epochs=0", "training.max_epochs; got 0; allowed: 1 or more"),
        ("training.learning_rate=nan", "learning_rate; got nan"),
        ("training.learning_rate=0", "training.learning_rate; got 0.0; allowed: more than 0"),
        ("training.learning_rate=1e39", r"training.learning_rate; got 1e\+39; allowed: .* at most 1e30"),
        ("training.optimizer=sgd", "optimizer; got 'sgd'; allowed: adam, adamw"),
        ("training.seed=-1", "training.seed; got -1; allowed: 0 or more"),
        ("model.dropout=1", "model.dropout; got 1.0"),
        ("model.hidden_size=0", "model.hidden_size; got 0; allowed: 1 or more"),
        ("data.targets=temperature", "data: targets; got 'temperature'; allowed: a list"),
        ("training.max_epochs", "--set; got 'training.max_epochs'; allowed: table.key=value"),
        ("max_epochs=20", "--set; got 'max_epochs=20'; allowed: table.key=value"),
        ("=20", "--set; got '=20'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(setting, words):
    with pytest.raises(ConfigError, match=words):
        configured(setting)


@pytest.mark.parametrize("key", ["file", "timestamp", "targets"])
def test_what_is_missing_is_asked_for(key):
    with pytest.raises(ConfigError, match=f"data.{key} is missing; fix: give a configuration file, or --"):
        training_config(None, {name: value for name, value in GIVEN.items() if name != key}, ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[data", "is not TOML"),
        ("x = " + "[" * 5000, "is not TOML"),
        ("data = 3", "data stands outside a table; got 3; allowed: .data., .model., .training."),
        ("[[data]]\nfile = 'x'", "data stands outside a table"),
        ("window_length = 96", "window_length stands outside a table; got 96"),
        ("model = 3", "model stands outside a table"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        from_text(tmp_path, text, "model.hidden_size=8", **GIVEN)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "lstm-edge.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        training_config(path, GIVEN, ())


NAME = st.text(min_size=1, max_size=8)
DATA = st.builds(
    data_config,
    NAME,
    targets=st.lists(NAME, min_size=1, max_size=3, unique=True).map(tuple),
    asset=st.none() | NAME,
    units=st.dictionaries(NAME, NAME, max_size=3),
    interval_s=st.none() | st.floats(1e-3, 1e9),
    missing=st.sampled_from(["error", "break"]),
    borders=st.sampled_from([(), (5, 7, 9)]),
    season=st.none() | st.integers(1, 12),
)
TRAINING = st.builds(
    TrainConfig,
    learning_rate=st.floats(1e-9, 1.0),
    optimizer=st.sampled_from(["adam", "adamw"]),
    seed=st.integers(0, 2**63 - 1),
)


@settings(deadline=None)
@given(config=st.builds(RunConfig, DATA, st.builds(ModelConfig, dropout=st.floats(0, 0.99)), TRAINING))
def test_the_written_configuration_gives_itself_again(config, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "round-trip.toml"
    path.write_bytes(config.to_toml().encode())
    assert training_config(path, {}, ()) == config
