"""Files as they come: separators, decimal marks, headers, sentinels, several files, no time column."""

import hashlib

import numpy as np
import polars as pl
import pytest
from sensor_tables import data_config, lines, moments, plain_csv, write

from toolkit.data import build_dataset, read_table
from toolkit.data.feature_config import FeatureConfig
from toolkit.data.source import read_frame
from toolkit.errors import ConfigError, DataError

AIR = """Date;Time;CO(GT);T;;
10/03/2004;18.00.00;2,6;-0,5;;
10/03/2004;19.00.00;-200;1360;;
10/03/2004;20.00.00;2,2;13,3;;
;;;;;
;;;;;
"""
"""The form of an air quality station's file: decimal commas, -200 for a missing reading, columns without a name."""

AIR_SETTINGS = {
    "separator": ";", "decimal": ",", "sentinels": (-200.0,), "timestamp": ("Date", "Time"),
    "timestamp_format": "%d/%m/%Y %H.%M.%S", "targets": ("T",),
}  # fmt: skip
TEN_PAST = 1_078_941_600 * 1_000_000


def frame(folder, content, name="plant.csv", **settings):
    return read_frame(data_config(write(folder, content, name), **settings))


def refusal(folder, content, name="plant.csv", **settings):
    with pytest.raises(DataError) as caught:
        frame(folder, content, name, **settings)
    return str(caught.value)


def test_the_form_of_an_air_quality_station(tmp_path):
    source = frame(tmp_path, AIR, **AIR_SETTINGS)
    assert source.columns.to_dict(as_series=False) == {"CO(GT)": [2.6, None, 2.2], "T": [-0.5, 1360.0, 13.3]}
    assert source.times_us.tolist() == [TEN_PAST + hour * 3_600_000_000 for hour in range(3)]
    assert source.rows.tolist() == [1, 2, 3]


def test_a_sentinel_breaks_the_series_as_an_empty_cell_does(tmp_path):
    table = read_table(data_config(write(tmp_path, AIR), **AIR_SETTINGS, missing="break"))
    assert table.segments.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"no number in row 2, column 'CO\(GT\)'"):
        read_table(data_config(write(tmp_path, AIR), **AIR_SETTINGS))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
def test_every_separator_gives_the_same_table(tmp_path, separator):
    plain = frame(tmp_path, plain_csv(20))
    other = frame(tmp_path, plain_csv(20).replace(",", separator), separator=separator)
    assert other.columns.equals(plain.columns)
    assert other.times_us.tolist() == plain.times_us.tolist()


def test_blanks_count_in_runs_and_at_both_ends(tmp_path):
    source = frame(tmp_path, "  time   temperature \n 0    1.5e0\n\n  60 \t NaN  \n", separator=" ")
    assert source.columns["temperature"].fill_nan(None).to_list() == [1.5, None]


def test_a_row_of_blanks_that_is_too_long_is_refused(tmp_path):
    words = refusal(tmp_path, "time temperature\n0 1\n60 2 3\n", separator=" ")
    assert "a row is longer than the header; got more than 2 cells in row 2" in words


@pytest.mark.parametrize(
    ("content", "setting"),
    [
        ("time;temperature\n0;1\n", '--set data.separator=";"'),
        ("time\ttemperature\n0\t1\n", r"""--set 'data.separator="\t"'"""),
        ("time|temperature\n0|1\n", """--set 'data.separator="|"'"""),
        ("time temperature\n0 1\n", """--set 'data.separator=" "'"""),
    ],
)
def test_another_separator_is_refused_with_the_setting_that_reads_it(tmp_path, content, setting):
    words = refusal(tmp_path, content)
    assert "its columns are not separated by commas" in words
    assert setting in words
    assert f"'lstm-edge init {tmp_path / 'plant.csv'}'" in words


def test_decimal_commas_are_refused_with_the_setting_that_reads_them(tmp_path):
    text = "time;temperature\n0;1,5\n"
    assert "'1,5' in row 1, column 'temperature'" in refusal(tmp_path, text, separator=";")
    assert "--set data.decimal=, " in refusal(tmp_path, text, separator=";")


def test_a_point_beside_decimal_commas_is_no_number(tmp_path):
    words = refusal(tmp_path, "time;temperature\n0;1,5\n1;1.234\n", separator=";", decimal=",")
    assert "'1.234' in row 2" in words
    assert "no mark of thousands" in words


def test_a_cell_without_a_name_must_be_empty(tmp_path):
    assert "more than 2 cells in row 2" in refusal(tmp_path, "time,temperature,\n0,1,\n60,2,3\n")


def test_an_empty_row_is_passed_over_at_the_end_alone(tmp_path):
    assert frame(tmp_path, "time,temperature\n0,1\n60,2\n,\n,\n").rows.tolist() == [1, 2]
    assert "nothing in row 2, column 'time'" in refusal(tmp_path, "time,temperature\n0,1\n,\n60,2\n")
    assert "a header and no rows" in refusal(tmp_path, "time,temperature\n,\n")


@pytest.mark.parametrize(("text", "separator"), [("0,1.5\n60,2.5\n", ","), ("0   1.5\n60  2.5\n", " ")])
def test_a_file_without_a_header_is_given_names(tmp_path, text, separator):
    source = frame(tmp_path, text, separator=separator, column_names=("time", "temperature"))
    assert source.columns["temperature"].to_list() == [1.5, 2.5]
    words = refusal(tmp_path, text, separator=separator, column_names=("time", "temperature", "x"))
    assert "data.column_names do not fit; got 3 names, 2 cells in row 1" in words


def test_the_name_of_a_headerless_column_that_is_not_there_tells_of_the_setting(tmp_path):
    assert "--set data.column_names=[...]" in refusal(tmp_path, "0,1.5\n60,2.5\n")


def test_a_row_too_long_is_counted_from_the_first_where_there_is_no_header(tmp_path):
    words = refusal(tmp_path, "0,1\n60,2\n120,3,4\n", column_names=("time", "temperature"))
    assert "3 cells in row 3" in words


def test_parquet_names_its_columns_itself(tmp_path):
    pl.DataFrame({"time": [0, 60], "temperature": [1.0, 2.0]}).write_parquet(tmp_path / "plant.parquet")
    with pytest.raises(DataError, match=r"data\.column_names is for text files"):
        read_frame(data_config(tmp_path / "plant.parquet", column_names=("time", "temperature")))


@pytest.mark.parametrize(("text", "separator"), [("0,60\n1.5,2.5\n", ","), (" 0  60\n 1.5 2.5 \n", " ")])
def test_a_transposed_file_has_a_row_for_each_channel(tmp_path, text, separator):
    settings = {"separator": separator, "transposed": True}
    source = frame(tmp_path, text, **settings, column_names=("time", "temperature"))
    assert source.columns["temperature"].to_list() == [1.5, 2.5]
    assert source.times_us.tolist() == [0, 60_000_000]
    words = refusal(tmp_path, text, **settings, column_names=("time", "temperature", "x"))
    assert "got 3 names, 2 rows" in words
    assert "rows of unequal length; got 3 cells in row 2" in refusal(
        tmp_path, text.rstrip(" \n") + separator + "7\n", **settings, column_names=("time", "temperature")
    )


def test_without_a_time_column_rows_are_an_interval_apart(tmp_path):
    text = "pump,temperature\nb,1\na,2\nb,3\n"
    source = frame(tmp_path, text, timestamp="", interval_s=0.5, asset="pump")
    assert source.asset_names == ("b", "a")
    assert source.times_us.tolist() == [0, 500_000, 0]
    assert source.columns["temperature"].to_list() == [1, 3, 2]


def test_several_files_are_read_one_after_the_other(tmp_path):
    whole = plain_csv(20).splitlines(keepends=True)
    for name, rows in (("a.csv", whole[:8]), ("b.csv", [whole[0], *whole[8:]])):
        write(tmp_path, "".join(rows), name)
    paths = tuple(str(tmp_path / name) for name in ("a.csv", "b.csv"))
    both = read_frame(data_config("plant.csv", file=paths))
    assert both.columns.equals(frame(tmp_path, plain_csv(20)).columns)
    assert both.names == "a.csv and 1 more"
    assert both.place(7, "temperature") == "row 1 of b.csv, column 'temperature'"
    hashes = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.csv", "b.csv")]
    assert both.sha256 == hashlib.sha256("".join(hashes).encode()).hexdigest()
    assert read_frame(data_config(tmp_path / "[ab].csv")).times_us.tolist() == both.times_us.tolist()


def test_files_in_the_wrong_order_do_not_rise(tmp_path):
    for name in ("a.csv", "b.csv"):
        write(tmp_path, plain_csv(5), name)
    with pytest.raises(DataError, match=r"do not rise; got .* in row 1 of b.csv after a later one"):
        read_frame(data_config(tmp_path / "*.csv"))


def test_each_file_can_be_an_asset(tmp_path):
    for name in ("p2.csv", "p1.csv"):
        write(tmp_path, plain_csv(5), name)
    source = read_frame(data_config(tmp_path / "*.csv", asset="{file}"))
    assert source.asset_names == ("p1", "p2")
    assert source.assets.tolist() == [0] * 5 + [1] * 5


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for folder in ("north", "south"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, plain_csv(5), "pump.csv")
    source = read_frame(data_config(tmp_path / "*/pump.csv", asset="{file}"))
    assert source.asset_names == ("north/pump", "south/pump")


def test_files_that_nothing_tells_apart_are_refused(tmp_path):
    for name in ("pump.csv", "pump.txt"):
        write(tmp_path, plain_csv(5), name)
    with pytest.raises(DataError, match=r"two files give one name; got .*pump\.csv"):
        read_frame(data_config(tmp_path / "pump.*", asset="{file}"))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("x*.csv",), r"no file matches .*x\*.csv"),
        (("a.csv", "?.csv"), "names .*a.csv twice"),
        (("a.csv", "b.csv"), "there is no file .*b.csv; fix: did you mean .*a.csv"),
    ],
)
def test_file_names_that_do_not_fit_are_refused(tmp_path, names, words):
    write(tmp_path, plain_csv(5), "a.csv")
    with pytest.raises(DataError, match=words):
        read_frame(data_config("plant.csv", file=tuple(str(tmp_path / name) for name in names)))


def test_a_file_that_lacks_a_column_is_named(tmp_path):
    write(tmp_path, plain_csv(5), "a.csv")
    write(tmp_path, "time,temperature\n2027-01-01,1\n", "b.csv")
    with pytest.raises(DataError, match=r"b.csv has no column 'pressure'.*--exclude pressure"):
        read_frame(data_config(tmp_path / "*.csv"))
    assert read_frame(data_config(tmp_path / "*.csv", exclude=("pressure",))).columns.shape == (6, 1)


def test_files_with_and_without_a_zone_are_refused_together(tmp_path):
    write(tmp_path, "time,temperature\n2026-01-01T00:00:00Z,1\n", "a.csv")
    write(tmp_path, "time,temperature\n2026-01-02T00:00:00,1\n", "b.csv")
    with pytest.raises(DataError, match=r"times without a zone in b\.csv"):
        read_frame(data_config(tmp_path / "*.csv"))


@pytest.mark.parametrize("at", [3, 1500, 2999])
def test_text_among_numbers_is_found_wherever_it_stands(tmp_path, at):
    values = ["off" if row == at else row for row in range(3000)]
    words = refusal(tmp_path, lines("time,temperature", range(0, 180_000, 60), values))
    assert f"'off' in row {at + 1}, column 'temperature'" in words


def test_a_time_of_another_form_far_down_is_found(tmp_path):
    times = [*moments(2000), "noon"]
    assert "'noon' in row 2001" in refusal(tmp_path, lines("time,temperature", times, range(2001)))


CONSTANT = lines("time,temperature,pressure", moments(100), np.sin(range(100)), [3.5] * 100)


def test_constant_channels_can_be_dropped(tmp_path):
    config = data_config(write(tmp_path, CONSTANT), constant="drop")
    data = build_dataset(read_table(config), config)
    assert data.signal.channel_names == ("temperature",)
    assert data.rows.shape == (100, 1)
    assert "constant over the training rows, and left out: pressure" in data.notes


def test_a_constant_target_is_never_dropped(tmp_path):
    config = data_config(write(tmp_path, CONSTANT), constant="drop", targets=("pressure",))
    with pytest.raises(DataError, match=r"'pressure' is constant.*fix: name another target"):
        build_dataset(read_table(config), config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"file": ()}, "data.file names no file"),
        ({"separator": ""}, r"data.separator; got ''; allowed: .*'data.separator=\" \"'"),
        ({"separator": "::"}, "data.separator; got '::'"),
        ({"decimal": ";"}, "data.decimal; got ';'"),
        ({"transposed": True}, "data.transposed needs the names"),
        ({"column_names": ("a", "a")}, "data.column_names names a column twice"),
        ({"timestamp": ("a", "a")}, "data.timestamp; got .*each once"),
        ({"timestamp": ""}, "needs data.interval_s"),
        ({"timestamp": "", "interval_s": 1.0, "timezone": "UTC"}, "data.timezone goes with a time column"),
        ({"timestamp": "", "interval_s": 1.0, "timestamp_format": "%Y"}, "data.timestamp_format goes with"),
        ({"timestamp_format": "dd/mm/yyyy"}, "data.timestamp_format; got 'dd/mm/yyyy'; allowed: a strptime format"),
        ({"timezone": "Europe/Berln"}, "data.timezone; got 'Europe/Berln'.*did you mean 'Europe/Berlin'"),
        ({"timezone": ""}, "data.timezone; got ''"),
        ({"tag": "tag"}, "data.tag and data.value together"),
        ({"value": "value"}, "data.tag and data.value together"),
        ({"quality": "quality"}, "data.tag and data.value together"),
        ({"tag": "tag", "value": "tag"}, "names one column twice"),
        ({"tag": "tag", "value": "v", "timestamp": "", "interval_s": 1.0}, "data.tag needs data.timestamp"),
        ({"good_quality": ()}, "data.good_quality; got nothing"),
        ({"asset": "time"}, "data.asset is the timestamp column"),
        ({"asset": "b", "timestamp": ("a", "b")}, "data.asset is the timestamp column"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        data_config("plant.csv", **changes)


@pytest.mark.data
def test_files_of_a_water_circulation_testbed(sensor_data):
    settings = {"separator": ";", "timestamp": "datetime", "targets": ("Pressure",)}
    one = read_frame(data_config(sensor_data / "skab" / "valve1" / "1.csv", **settings))
    assert one.columns.shape == (1145, 10)
    several = read_frame(data_config(sensor_data / "skab" / "valve*" / "*.csv", **settings, asset="{file}"))
    assert several.columns.shape == (22_472, 10)
    assert several.asset_names[0] == "valve1/0"


@pytest.mark.data
def test_files_of_a_chemical_plant(sensor_data):
    names = tuple(f"x{number}" for number in range(52))
    settings = {"separator": " ", "column_names": names, "timestamp": "", "interval_s": 180.0, "targets": ("x0",)}
    upright = read_frame(data_config(sensor_data / "tep" / "d01.dat", **settings))
    lying = read_frame(data_config(sensor_data / "tep" / "d00.dat", **settings, transposed=True))
    assert (upright.columns.shape, lying.columns.shape) == ((480, 52), (500, 52))
    assert lying.columns["x0"][:2].to_list() == [0.24987, 0.25118]
    assert upright.columns["x1"][0] == 3641.3
    assert np.diff(lying.times_us).tolist() == [180_000_000] * 499


def test_a_constant_feature_is_taken_out_of_the_features(tmp_path):
    features = FeatureConfig(10.0, default=("mean", "count"))
    path = write(tmp_path, lines("time,temperature", moments(100), np.sin(range(100))))
    config = data_config(path, targets=("temperature.mean",))
    with pytest.raises(DataError, match=r"take temperature.count out of \[features\], or .*constant=drop"):
        build_dataset(read_table(config, features), config)


def test_blanks_around_a_name_make_no_other_machine(tmp_path):
    text = lines("time,pump,temperature", moments(4), ["P1", "P1 ", " P1", "P1"], range(4))
    assert frame(tmp_path, text, asset="pump").asset_names == ("P1",)
    blank = lines("time,pump,temperature", moments(2), ["P1", "  "], range(2))
    assert "the asset is missing; got nothing in row 2, column 'pump'" in refusal(tmp_path, blank, asset="pump")
