import os
import tomllib

import data_files
import pytest
from command_line import one_line

TINY = (
    "--set", "training.max_epochs=1", "--set", "model.hidden_size=4", "--set", "model.num_layers=1",
    "--set", "data.stride=50",
)  # fmt: skip


def trained(cli, folder, *arguments):
    """`init`, then `train` on what it wrote; the configuration."""
    config = folder / "lstm-edge.toml"
    written = cli("init", *arguments, "--out", config)
    assert written.status == 0, written.err
    assert f"Next: lstm-edge train {config}" in written.out
    done = cli("train", config, *TINY, "--run", folder / "run")
    assert done.status == 0, done.err
    return tomllib.loads(config.read_text())


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "options", "expected"),
    [
        ("ett/ETTh1.csv", (), {"timestamp": "date", "interval_s": 3600.0, "window_length": 96, "horizon": 24}),
        ("skab/valve1/0.csv", (), {"separator": ";", "exclude": ["anomaly", "changepoint"], "gaps": {"*": "hold:3"}}),
        ("skab/valve1/*.csv", (), {"asset": "{file}", "interval_s": 1.0}),
        ("tep/d00.dat", (), {"separator": " ", "transposed": True, "timestamp": "", "interval_s": 1.0}),
        ("tep/d01.dat", ("--interval", 180), {"separator": " ", "timestamp": "", "interval_s": 180.0}),
        ("tep/d01_te.dat", (), {"separator": " ", "timestamp": ""}),
    ],
)
def test_real_files_train_without_python(cli, sensor_data, tmp_path, file, options, expected):
    config = trained(cli, tmp_path, sensor_data / file, *options)["data"]
    assert {key: config[key] for key in expected} == expected
    assert config["file"] == str(sensor_data / file)


@pytest.mark.parametrize(
    "made", [data_files.air_quality, data_files.historian, data_files.raw_samples, data_files.epoch_milliseconds]
)
def test_files_as_plants_write_them_train_without_python(cli, tmp_path, made):
    trained(cli, tmp_path, made(tmp_path / "plant.csv"))


def test_simulated_plant_data_trains_without_python(cli, plant, tmp_path):
    config = trained(cli, tmp_path, plant, "--target", "temperature.mean", "--window", 24, "--horizon", 6)["data"]
    assert (config["asset"], config["exclude"], config["targets"]) == ("asset", ["fault"], ["temperature.mean"])
    assert (config["window_length"], config["horizon"]) == (24, 6)


def test_the_file_is_named_as_typed_and_every_setting_is_explained(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data_files.plain(tmp_path / "plant.csv")
    result = cli("init", "plant.csv")
    text = (tmp_path / "lstm-edge.toml").read_text()
    config = tomllib.loads(text)["data"]
    assert config["file"] == "plant.csv"
    lines = text.splitlines()
    for key in config:
        place = next(number for number, line in enumerate(lines) if line.startswith(f"{key} = "))
        assert lines[place - 1].startswith("# ")
        assert any(line.startswith(f"{key} ") for line in result.out.splitlines())


def test_names_with_any_marks_come_back_whole(cli, tmp_path):
    path = data_files.plain(tmp_path / "plant.csv")
    path.write_text(path.read_text().replace("pressure", '"p ""x"" \\ #;\x1b[31m"'))
    config = tmp_path / "lstm-edge.toml"
    result = cli("init", path, "--out", config)
    assert "\x1b" not in result.out
    assert tomllib.loads(config.read_text())["data"]["targets"] == ["temperature", 'p "x" \\ #;\x1b[31m']


def test_an_open_question_is_left_to_the_reader_with_both_answers(cli, tmp_path):
    path = data_files.plain(tmp_path / "plant.csv", form="%d/%m/%Y %H:%M")
    config = tmp_path / "lstm-edge.toml"
    assert "data.timestamp_format" in one_line(cli("init", path, "--out", config))
    text = config.read_text()
    answers = ['# timestamp_format = "%d/%m/%Y %H:%M"', '# timestamp_format = "%m/%d/%Y %H:%M"']
    assert all(answer in text.splitlines() for answer in answers)
    config.write_text(text.replace(answers[0], answers[0].removeprefix("# ")))
    assert cli("train", config, *TINY, "--run", tmp_path / "run").status == 0


def test_an_existing_file_is_replaced_only_on_request(cli, tmp_path):
    path = data_files.plain(tmp_path / "plant.csv")
    config = tmp_path / "mine.toml"
    config.write_text("mine")
    assert "exists already" in one_line(cli("init", path, "--out", config))
    assert config.read_text() == "mine"
    assert cli("init", path, "--out", config, "--overwrite").status == 0
    assert "[data]" in config.read_text()


@pytest.mark.parametrize(
    ("content", "options"), [("no table", ()), ("", ()), ("time,a\n1,2\n", ("--interval", "-1")), (None, ())]
)
def test_what_is_refused_leaves_nothing_behind(cli, tmp_path, content, options):
    if content is not None:
        (tmp_path / "plant.csv").write_text(content)
    before = os.listdir(tmp_path)
    one_line(cli("init", tmp_path / "plant.csv", "--out", tmp_path / "lstm-edge.toml", *options))
    assert os.listdir(tmp_path) == before
