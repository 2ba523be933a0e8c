"""The column that a classifier learns, from the file to the class of each row and the windows that are used."""

import numpy as np
import polars as pl
import pytest
from sensor_tables import data_config, lines, moments, wave, write

from toolkit.data import build_dataset, read_table
from toolkit.data.feature_config import FeatureConfig
from toolkit.data.labels import MOST_CLASSES, class_codes, classes_of, read_labels
from toolkit.data.row_places import RowPlaces
from toolkit.errors import ConfigError, DataError


def read(values, **kind):
    return read_labels(
        pl.Series("fault", values, **kind), RowPlaces.of_files(["plant.csv"], [len(values)]), "plant.csv"
    )


@pytest.mark.parametrize(
    ("values", "names", "codes"),
    [
        (["worn", "", "fine", " worn ", None, "nan"], ("fine", "worn"), [1, -1, 0, 1, -1, -1]),
        (["10", "2", "2.0", "-1", "NA"], ("-1", "2", "10"), [2, 1, 1, 0, -1]),
        ([0.0, 1.0, float("nan"), 1.0], ("0", "1"), [0, 1, -1, 1]),
        ([False, True], ("false", "true"), [0, 1]),
        (["7", "x", "-"], ("7", "x"), [0, 1, -1]),
    ],
)
def test_values_become_classes(values, names, codes):
    labels = read(values)
    assert labels.names == names
    assert labels.codes.tolist() == codes


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["1", "2.5"], "label 'fault' is a measurement; got 2.5; allowed: text, or whole numbers"),
        (["1", "inf"], "is a measurement; got inf"),
        (["", None], "tells no classes apart; got 0 distinct values"),
        ([f"n{place}" for place in range(MOST_CLASSES + 1)], f"got {MOST_CLASSES + 1} distinct values"),
    ],
)
def test_a_column_that_is_no_label(values, words):
    with pytest.raises(DataError, match=words):
        read(values)


def test_classes_are_those_of_the_training_rows():
    labels = read(["b", "c", "a", "", "c", "d"])
    train = np.array([True, True, True, True, False, False])
    assert classes_of(labels, train, "plant.csv") == ("a", "b", "c")
    with pytest.raises(DataError, match=r"one class in the training rows; got b; allowed: two or more"):
        classes_of(labels, np.arange(6) == 0, "plant.csv")


def test_a_class_that_comes_later_is_refused_with_its_row_where_it_is_used():
    labels = read(["b", "c", "a", "", "c", "d"])
    with pytest.raises(DataError, match=r"got 'd' in row 6, column 'fault'; allowed: a, b, c"):
        class_codes(labels, ("a", "b", "c"), np.ones(6, bool), "plant.csv")
    used = np.arange(6) < 5
    assert class_codes(labels, ("a", "b", "c"), used, "plant.csv").tolist() == [1, 2, 0, -1, 2, -1]


def table_of(folder, labels, *, count=60, name="plant.csv", header="time,temperature,pressure,fault", **settings):
    write(folder, lines(header, moments(count), *wave(count).T.tolist(), labels), name)
    return data_config(folder / name, targets=(), label="fault", window_length=4, **settings)


LABELS = [*"ab" * 30]


def test_a_window_has_the_class_of_its_last_row_and_needs_none_after_it(tmp_path):
    labels = list(LABELS)
    labels[20] = labels[57] = ""
    config = table_of(tmp_path, labels)
    data = build_dataset(read_table(config), config)
    assert data.class_names == ("a", "b")
    assert data.signal.channel_names == ("temperature", "pressure")
    assert data.signal.targets == ()
    train, validation, test = (data.starts[part] + 3 for part in ("train", "validation", "test"))
    assert train.tolist() == [row for row in range(3, 42) if row != 20]
    assert validation.tolist() == list(range(42, 51))
    assert test.tolist() == [row for row in range(51, 60) if row != 57]
    assert data.labels_of(data.starts["test"]).tolist() == ["ab".index(labels[row]) for row in test.tolist()]
    x, y = data.gather(data.starts["test"])
    assert x.shape == (8, 4, 2)
    assert y.numel() == 0


def test_a_part_without_a_labelled_window(tmp_path):
    config = table_of(tmp_path, [*LABELS[:51], *[""] * 9])
    with pytest.raises(DataError, match=r"test part has no window with a label; got 9 rows, 0 of them with one"):
        build_dataset(read_table(config), config)


def test_labels_follow_their_rows_when_others_are_left_out_or_put_in_order(tmp_path):
    values = wave(60)
    temperature = ["" if row == 5 else value for row, value in enumerate(values[:, 0].tolist())]
    order = [1, 0, *range(2, 60)]
    columns = (moments(60), temperature, values[:, 1].tolist(), LABELS)
    text = lines("time,temperature,pressure,fault", *([column[row] for row in order] for column in columns))
    config = data_config(
        write(tmp_path, text), targets=(), label="fault", window_length=4, missing="break", sort=True
    )  # fmt: skip
    table = read_table(config)
    assert table.labels.codes.tolist() == ["ab".index(each) for row, each in enumerate(LABELS) if row != 5]
    assert table.labels.places.numbers[:3].tolist() == [2, 1, 3]


def test_labels_of_several_files_and_of_machines(tmp_path):
    table_of(tmp_path, LABELS, name="one.csv")
    table_of(tmp_path, ["c"] * 60, name="two.csv")
    config = data_config(str(tmp_path / "*.csv"), targets=(), label="fault", asset="{file}", window_length=4)
    table = read_table(config)
    assert [table.labels.names[code] for code in table.labels.codes] == [*LABELS, *["c"] * 60]
    assert table.labels.places.row(60) == "row 1 of two.csv"


def test_a_reading_that_was_made_up_has_no_label(tmp_path):
    whole, labels = wave(60), LABELS
    kept = [row for row in range(60) if row not in (7, 8)]
    columns = (moments(60), whole[:, 0].tolist(), whole[:, 1].tolist(), labels)
    text = lines("time,temperature,pressure,fault", *([column[row] for row in kept] for column in columns))
    config = data_config(
        write(tmp_path, text), targets=(), label="fault", window_length=4, gaps={"*": "hold:3"}, interval_s=60.0
    )
    table = read_table(config)
    assert len(table.values) == 60
    assert table.labels.codes.tolist() == [-1 if row in (7, 8) else "ab".index(labels[row]) for row in range(60)]


def test_an_interval_of_raw_samples_has_its_last_label(tmp_path):
    labels = ["a"] * 20 + ["b"] * 19 + [""] + ["b"] * 20
    config = table_of(tmp_path, labels)
    table = read_table(config, FeatureConfig(300.0, default=("mean",)))
    assert len(table.values) == 12
    assert table.labels.codes.tolist() == [0] * 4 + [1] * 8


def test_the_label_is_no_channel_and_must_be_there(tmp_path):
    config = table_of(tmp_path, LABELS, channels=("temperature", "fault"))
    with pytest.raises(DataError, match="'fault' is the label column and cannot be a channel too"):
        read_table(config)
    with pytest.raises(DataError, match=r"has no column 'faults'.*did you mean 'fault'"):
        read_table(data_config(tmp_path / "plant.csv", targets=(), label="faults"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"label": "fault"}, "data.targets beside data.label"),
        ({"targets": ()}, "data.targets names no column"),
        ({"targets": (), "label": "f", "tag": "t", "value": "v"}, "data.label in a table of one reading a row"),
    ],
)
def test_settings_that_contradict_each_other(settings, words):
    with pytest.raises(ConfigError, match=words):
        data_config("plant.csv", **settings)
