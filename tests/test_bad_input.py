"""Whatever a user gives that cannot be used is answered by one line of one shape, and nothing is left behind."""

import os
import re
import shutil
from pathlib import Path

import polars as pl
import pytest
from sensor_tables import Silent, data_config, lines, moments, plain_csv, run_config, wave, write

from toolkit.errors import BundleError, ConfigError, DataError, InputError, ModelError, OutputError, RequestError
from toolkit.training import load_run, train, training_config

COUNT = 240
WAVES = wave(COUNT)
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"


def with_cell(row, column, cell):
    """The plain table with one cell changed; rows are counted from 1, as messages do."""
    table = [line.split(",") for line in plain_csv(COUNT).splitlines()]
    table[row][column] = cell
    return "\n".join(map(",".join, table)) + "\n"


def with_times(times):
    return lines("time,temperature,pressure", times, *WAVES[: len(times)].T.tolist())


def swapped(first, second):
    times = moments(COUNT)
    times[first], times[second] = times[second], times[first]
    return with_times(times)


def repeated(row):
    times = moments(COUNT)
    times[row] = times[row - 1]
    return with_times(times)


def two_machines():
    return with_times(moments(120) * 2)


def constant():
    return lines("time,temperature,pressure", moments(COUNT), WAVES[:, 0].tolist(), [3.5] * COUNT)


def parquet(folder):
    pl.DataFrame({"time": [1, 2], "temperature": [1.0, 2.0]}).write_parquet(folder / "plant.parquet")
    return (folder / "plant.parquet").read_bytes()


# What is written to plant.csv, the settings that differ, and words that the message must hold.
TABLES = {
    "PNG": (PNG, {}, ["not a table", "binary content"]),
    "binary": (bytes(range(256)) * 9, {}, ["not a table", "binary content"]),
    "UTF-16": (plain_csv(COUNT).encode("utf-16"), {}, ["not a table", "binary content"]),
    "half a Parquet file": (lambda folder: parquet(folder)[:-20], {}, ["not a table", "CSV (UTF-8) or Parquet"]),
    "invalid UTF-8": (plain_csv(COUNT).encode() + b"2027-01-01,\xff,1\n", {}, ["not a table", "utf-8"]),
    "invalid UTF-8 in the header": (b"time,temp\xe9rature\n1,2\n", {}, ["not a table", "binary content"]),
    "empty": (b"", {}, ["plant.csv is empty"]),
    "blank lines": (b"\n\n", {}, ["not a table", "empty CSV"]),
    "header only": (b"time,temperature\n", {}, ["a header and no rows"]),
    "semicolons": (plain_csv(COUNT).replace(",", ";"), {}, ["not separated by commas", "lstm-edge init"]),
    "semicolons, decimal commas": (b"time;temperature\n1;2,5\n2;3,5\n", {}, ["not separated by commas"]),
    "tabs": (plain_csv(COUNT).replace(",", "\t"), {}, ["not separated by commas"]),
    "a longer row": (plain_csv(3) + "2027-01-01,1,2,3\n", {}, ["longer than the header", "4 cells in row 4"]),
    "a shorter row": (plain_csv(3) + "2027-01-01T00:00:00,1\n", {}, ["no number in row 4, column 'pressure'"]),
    "two columns of one name": (b"time,temperature,temperature\n1,2,3\n", {}, ["two columns", "'temperature'"]),
    "no such target": (plain_csv(), {"targets": ("Temprature",)}, ["'Temprature'", "did you mean 'temperature'?"]),
    "no timestamp": (plain_csv(), {"timestamp": "tiem"}, ["'tiem'", "did you mean 'time'?"]),
    "no such asset": (plain_csv(), {"asset": "pump"}, ["no column 'pump'", "time, temperature, pressure"]),
    "no such column to leave out": (plain_csv(), {"exclude": ("presure",)}, ["'presure'", "'pressure'"]),
    "no such channel": (plain_csv(), {"channels": ("preasure",)}, ["'preasure'", "'pressure'"]),
    "no such column of a unit": (plain_csv(), {"units": {"presure": "Pa"}}, ["'presure'", "'pressure'"]),
    "target left out": (plain_csv(), {"exclude": ("temperature",)}, ["'temperature' is no channel", "pressure"]),
    "timestamp as channel": (plain_csv(), {"channels": ("time", "temperature")}, ["'time' is the timestamp"]),
    "text among numbers": (with_cell(7, 2, "n.a."), {}, ["'n.a.' in row 7, column 'pressure'", "--exclude pressure"]),
    "decimal comma": (with_cell(7, 2, '"1,5"'), {}, ["'1,5' in row 7, column 'pressure'"]),
    "empty cell": (with_cell(7, 1, ""), {}, ["no number in row 7, column 'temperature'", "data.missing=break"]),
    "NaN": (with_cell(240, 1, "NaN"), {}, ["in 1 of 240 rows", "no number in row 240, column 'temperature'"]),
    "infinity": (with_cell(7, 1, "inf"), {}, ["inf in row 7"]),
    "minus infinity": (with_cell(7, 1, "-Infinity"), {}, ["-inf in row 7"]),
    "beyond float32": (with_cell(7, 1, "1e39"), {}, ["1e+39 in row 7", "float32"]),
    "an empty column": (b"time,temperature\n1,\n2,\n", {"missing": "break"}, ["no reading at all", "--exclude"]),
    "unreadable timestamp": (with_cell(7, 0, "noon"), {}, ["'noon' in row 7, column 'time'", "ISO 8601"]),
    "missing timestamp": (with_cell(7, 0, ""), {}, ["nothing in row 7, column 'time'"]),
    "unsorted timestamps": (swapped(5, 6), {}, ["do not rise", "00:05:00", "row 7"]),
    "duplicate timestamps": (repeated(6), {}, ["duplicate timestamps", "00:05:00", "row 7 again"]),
    "two machines, no asset": (two_machines(), {}, ["do not rise", "row 121", "--asset"]),
    "missing asset": (b"time,pump,temperature\n1,a,2\n2,,3\n", {"asset": "pump"}, ["nothing in row 2, column 'pump'"]),
    "one row": (plain_csv(1), {}, ["a single row per asset has no interval"]),
    "shorter than a window": (plain_csv(14), {}, ["train part has no window", "longest unbroken series", "has 14"]),
    "constant channel": (constant(), {}, ["'pressure' is constant", "--exclude pressure"]),
}


def table_case(content, settings):
    def trained(folder):
        path = write(folder, content(folder) if callable(content) else content)
        config = run_config(path)
        train(type(config)(data_config(path, **settings), config.model, config.training), folder / "run", Silent())

    return trained


def other_file(name):
    def trained(folder):
        write(folder, plain_csv())
        train(run_config(folder / name), folder / "run", Silent())

    return trained


FILES = {
    "missing file": (other_file("plnat.csv"), DataError, ["no file", "plnat.csv", "did you mean", "/plant.csv?"]),
    "missing folder": (other_file("missing/plant.csv"), DataError, ["no file", "give the path of"]),
    "a folder": (other_file("."), DataError, ["is no file"]),
    "a name that is too long": (other_file("n" * 300), DataError, ["no file"]),
    "a name with a line break": (other_file("new\nplant.csv"), DataError, ["no file", "new plant.csv"]),
    "a device": (lambda folder: train(run_config(Path("/dev/null")), folder / "r", Silent()), DataError, ["no file"]),
}


def output(place, *, overwrite=False):
    def trained(folder):
        train(run_config(write(folder, plain_csv())), folder / place, Silent(), overwrite=overwrite)

    return trained


OUTPUTS = {
    "a file where the folder is to stand": (output("plant.csv", overwrite=True), OutputError, ["no folder"]),
    "a file above the folder": (output("plant.csv/run"), OutputError, ["plant.csv, which cannot be written"]),
    "a place that takes no folders": (output("/proc/run"), OutputError, ["cannot write /proc/run"]),
    "a folder that exists": (output("."), OutputError, ["exists already", "--overwrite"]),
    "a run name that is too long": (output("n" * 300), OutputError, ["cannot write"]),
}


def cut(name, change):
    """A finished run with one of its files gone or cut short."""

    def loaded(folder, finished):
        shutil.copytree(finished, folder / "run")
        path = folder / "run" / name
        content = path.read_bytes()
        path.unlink()
        if change != "missing":
            path.write_bytes(b"" if change == "empty" else content[: len(content) // 2])
        load_run(folder / "run")

    return loaded


PARTS = (
    *("run.json", "config.toml", "training.json", "weights.safetensors", "samples.safetensors"),
    *("data.json", "evaluation.json"),
)
RUNS = {
    **{f"{name} {how}": (cut(name, how), BundleError, [name]) for name in PARTS for how in ("missing", "empty", "cut")},
    "metrics.jsonl missing": (cut("metrics.jsonl", "missing"), BundleError, ["no metrics.jsonl"]),
    "no run": (lambda folder, finished: load_run(folder / "run"), BundleError, ["no run folder", "lstm-edge train"]),
    "not a run": (lambda folder, finished: load_run(folder), BundleError, ["no finished run folder"]),
}


def other_weights(folder, finished):
    shutil.copytree(finished, folder / "run")
    path = folder / "run" / "run.json"
    path.write_text(path.read_text().replace('"hidden_size": 8', '"hidden_size": 9'))
    load_run(folder / "run")


def not_a_number_in_the_weights(folder, finished):
    shutil.copytree(finished, folder / "run")
    path = folder / "run" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\xff\xff\xff\xff")
    load_run(folder / "run")


def two_axes(folder, finished):
    load_run(finished).model(load_run(finished).samples[0])


MODELS = {
    "weights of another model": (other_weights, ModelError, ["does not fit the model at 'head.weight'", "[3, 9]"]),
    "NaN in the weights": (not_a_number_in_the_weights, BundleError, ["is damaged", "not what this run wrote"]),
    "two axes": (two_axes, InputError, ["x has the wrong shape", "batch axis of 1"]),
    "divergence": (
        lambda folder, finished: train(
            run_config(write(folder, plain_csv()), learning_rate=1e30), folder / "run", Silent()
        ),
        ModelError,
        ["training diverged", "training.learning_rate"],
    ),
}


def settings_file(text, *settings):
    return lambda folder: training_config(write(folder, text, "lstm-edge.toml"), {}, settings)


CONFIGS = {
    "no configuration file": (lambda folder: training_config(folder / "x.toml", {}, ()), ConfigError, ["x.toml"]),
    "a folder for a file": (lambda folder: training_config(folder, {}, ()), ConfigError, ["Is a directory"]),
    "not TOML": (settings_file("[data\n"), ConfigError, ["is not TOML"]),
    "binary for TOML": (settings_file(PNG), ConfigError, ["is not TOML"]),
    "a setting outside": (settings_file("horizon = 3"), ConfigError, ["horizon stands outside a table", "[data]"]),
    "no data": (settings_file(""), ConfigError, ["data.file is missing", "--data FILE"]),
    "unknown setting": (
        settings_file("[data]\nfile='a'\ntimestamp='t'\ntargets=['x']\nwindow_lenght=3"),
        ConfigError,
        ["unknown key", "'window_lenght'", "did you mean 'window_length'?"],
    ),
    "a setting without a value": (
        settings_file("[data]\nfile='a'\ntimestamp='t'\ntargets=['x']", "model.hidden_size"),
        ConfigError,
        ["table.key=value"],
    ),
}

CASES = {
    **{name: (table_case(content, settings), DataError, words) for name, (content, settings, words) in TABLES.items()},
    **FILES,
    **OUTPUTS,
    **RUNS,
    **MODELS,
    **CONFIGS,
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    train(run_config(write(folder, plain_csv()), max_epochs=1), folder / "run", Silent())
    return folder / "run"


def try_case(act, folder, finished):
    try:
        act(folder, finished) if act.__code__.co_argcount == 2 else act(folder)
    except RequestError as error:
        return error
    return pytest.fail("it was taken")


@pytest.mark.parametrize("name", list(CASES))
def test_bad_input_is_one_line_that_says_what_is_wrong_and_what_to_do(tmp_path, finished, name):
    act, kind, words = CASES[name]
    error = try_case(act, tmp_path, finished)
    message = str(error)
    assert type(error) is kind
    assert error.exit_status == 2
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert re.search("; (allowed|fix): .", message)
    assert all(word in message for word in words), message
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]
    assert kind is BundleError or name in MODELS or not (tmp_path / "run").exists()


def test_every_part_of_a_run_is_cut_here(finished):
    assert {*PARTS, "metrics.jsonl"} == set(os.listdir(finished))
