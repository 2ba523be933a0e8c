"""Tables of one reading a row, as historians export them, and the order of rows."""

import pytest
from sensor_tables import data_config, lines, write

from toolkit.data import build_dataset, read_table
from toolkit.data.source import read_frame
from toolkit.errors import DataError

LONG = {"tag": "tag", "value": "value", "targets": ("TI1",)}
HISTORIAN = """time,tag,value,quality
0,TI1,1.5,Good
0,PI2,7,Good
60,TI1,2.5,192
60,PI2,I/O Timeout,Bad
120,TI1,3.5,Good
120,PI2,9,
"""


def frame(folder, content, **settings):
    return read_frame(data_config(write(folder, content), **{**LONG, **settings}))


def wide(folder, content, **settings):
    return read_frame(data_config(write(folder, content), **settings))


def test_tags_become_channels(tmp_path):
    source = frame(tmp_path, "time,tag,value\n0,TI1,1\n0,PI2,5\n60,PI2,6\n60,TI1,2\n90,TI1,3\n")
    assert source.columns.to_dict(as_series=False) == {"TI1": [1, 2, 3], "PI2": [5, 6, None]}
    assert source.times_us.tolist() == [0, 60_000_000, 90_000_000]
    assert source.rows.tolist() == [1, 3, 5]


def test_readings_of_bad_quality_are_left_out_and_counted(tmp_path):
    source = frame(tmp_path, HISTORIAN, quality="quality")
    assert source.columns["PI2"].to_list() == [7, None, None]
    assert source.bad_quality == 2
    config = data_config(write(tmp_path, HISTORIAN), **LONG, quality="quality", gaps={"*": "hold:5"}, interval_s=60.0)
    assert read_table(config).bad_quality == 2


def test_good_quality_is_what_the_settings_say(tmp_path):
    text = HISTORIAN.replace("I/O Timeout", "8").replace("Bad", "Uncertain")
    source = frame(tmp_path, text, quality="quality", good_quality=("Good", "192", "Uncertain"))
    assert source.columns["PI2"].to_list() == [7, 8, None]
    with pytest.raises(DataError, match="no reading is of good quality; allowed: fine"):
        frame(tmp_path, text, quality="quality", good_quality=("fine",))


def test_text_of_good_quality_is_refused(tmp_path):
    with pytest.raises(DataError, match="'I/O Timeout' in row 4, column 'value'"):
        frame(tmp_path, HISTORIAN)


def test_bad_quality_of_a_tag_that_is_not_asked_for_is_not_counted(tmp_path):
    source = frame(tmp_path, HISTORIAN, quality="quality", channels=("TI1",))
    assert source.columns.columns == ["TI1"]
    assert source.bad_quality == 0


def test_tags_of_several_machines_and_tag_by_tag(tmp_path):
    text = "time,pump,tag,value\n0,b,TI1,1\n60,b,TI1,2\n0,a,TI1,3\n0,b,PI2,4\n60,b,PI2,5\n0,a,PI2,6\n"
    source = frame(tmp_path, text, asset="pump")
    assert source.asset_names == ("b", "a")
    assert source.assets.tolist() == [0, 0, 1]
    assert source.columns.to_dict(as_series=False) == {"TI1": [1, 2, 3], "PI2": [4, 5, 6]}


def test_the_nearest_tag_is_named(tmp_path):
    with pytest.raises(DataError, match="no column 'TI2'; allowed: TI1, PI2; fix: did you mean 'TI1'"):
        frame(tmp_path, HISTORIAN, quality="quality", targets=("TI2",))


def test_a_missing_tag_is_refused(tmp_path):
    with pytest.raises(DataError, match="the tag is missing; got nothing in row 2, column 'tag'"):
        frame(tmp_path, "time,tag,value\n0,TI1,1\n60,,2\n")


def test_a_column_of_the_long_form_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no column 'quality'"):
        frame(tmp_path, "time,tag,value\n0,TI1,1\n", quality="quality")


@pytest.mark.parametrize(("policy", "value"), [("first", 1), ("last", 3), ("mean", 2)])
def test_two_values_of_one_tag_at_one_time(tmp_path, policy, value):
    text = "time,tag,value\n0,TI1,1\n0,PI2,5\n0,TI1,3\n60,TI1,4\n60,PI2,6\n"
    with pytest.raises(DataError, match=r"duplicate timestamps of tag 'TI1'.* in row 3 again.*data.duplicates"):
        frame(tmp_path, text)
    source = frame(tmp_path, text, duplicates=policy)
    assert source.columns.to_dict(as_series=False) == {"TI1": [value, 4], "PI2": [5, 6]}


TWICE = "time,temperature,pressure\n0,1,\n0,3,5\n0,,7\n60,4,8\n"


@pytest.mark.parametrize(("policy", "first_row"), [("first", [1, None]), ("last", [None, 7]), ("mean", [2, 6])])
def test_two_rows_of_one_moment(tmp_path, policy, first_row):
    with pytest.raises(DataError, match=r"duplicate timestamps.* in row 2 again.*--set data.duplicates=first"):
        wide(tmp_path, TWICE)
    source = wide(tmp_path, TWICE, duplicates=policy)
    assert [source.columns[name][0] for name in ("temperature", "pressure")] == first_row
    assert source.columns["temperature"][1] == 4
    assert source.rows.tolist() == ([3, 4] if policy == "last" else [1, 4])


def test_two_machines_may_have_rows_of_one_moment(tmp_path):
    text = "time,pump,temperature\n0,a,1\n60,a,2\n60,b,3\n60,b,5\n"
    source = wide(tmp_path, text, asset="pump", duplicates="mean")
    assert source.columns["temperature"].to_list() == [1, 2, 4]
    assert source.assets.tolist() == [0, 0, 1]


def test_rows_out_of_order_are_sorted_where_that_is_asked_for(tmp_path):
    text = lines("time,temperature", [60, 0, 120], range(3))
    with pytest.raises(DataError, match=r"do not rise.*--set data.sort=true"):
        wide(tmp_path, text)
    source = wide(tmp_path, text, sort=True)
    assert source.columns["temperature"].to_list() == [1, 0, 2]
    assert source.rows.tolist() == [2, 1, 3]


def test_readings_of_a_tag_out_of_order_are_refused_or_sorted(tmp_path):
    text = "time,tag,value\n60,TI1,1\n0,TI1,2\n"
    with pytest.raises(DataError, match="do not rise of tag 'TI1'"):
        frame(tmp_path, text)
    assert frame(tmp_path, text, sort=True).columns["TI1"].to_list() == [2, 1]


def test_what_was_left_out_is_noted(tmp_path):
    rows = [(60 * n, tag, n * n % 17, "Good") for n in range(100) for tag in ("TI1", "PI2")]
    rows[51] = (*rows[51][:3], "Bad")
    config = data_config(
        write(tmp_path, lines("time,tag,value,quality", *zip(*rows, strict=True))),
        **LONG, quality="quality", missing="break", split=(0.5, 0.25, 0.25), window_length=3,
    )  # fmt: skip
    assert "1 readings were left out: their quality was not good" in build_dataset(read_table(config), config).notes
