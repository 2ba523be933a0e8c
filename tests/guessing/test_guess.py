import gzip
import zoneinfo
from datetime import UTC, datetime, timedelta

import data_files
import polars as pl
import pytest
from data_files import times, waves, write_rows

from toolkit.errors import ConfigError, DataError
from toolkit.guessing.guess import Request, guess_settings, open_questions

MINUTE = timedelta(minutes=1)


def guessed(*files, **request):
    """Values by key; a tuple of choices where the file does not decide."""
    settings = guess_settings(Request(tuple(map(str, files)), **request))
    return {setting.key: setting.choices or setting.value for setting in settings}


def table(path, moments, *, separator=",", form="{:.2f}", header=("time", "a", "b")):
    rows = [[moment, *map(form.format, row)] for moment, row in zip(moments, waves(len(moments)), strict=True)]
    return write_rows(path, header, rows, separator)


def needed(*files, **request):
    return [setting.key for setting in open_questions(guess_settings(Request(tuple(map(str, files)), **request)))]


def test_a_plain_table_needs_no_question(tmp_path):
    path = data_files.plain(tmp_path / "a.csv")
    found = guessed(path)
    assert (found["separator"], found["decimal"], found["timestamp"], found["interval_s"]) == (",", ".", "time", 60.0)
    assert found["targets"] == ("temperature", "pressure")
    assert not needed(path)
    assert not {"gaps", "missing", "exclude", "asset", "sort", "duplicates", "timezone"} & found.keys()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
def test_the_separator_is_found_though_blanks_and_commas_stand_elsewhere(tmp_path, separator):
    path = table(tmp_path / "a.csv", times(100, MINUTE, "%Y-%m-%dT%H:%M:%S"), separator=separator)
    assert guessed(path)["separator"] == separator


def test_the_air_quality_form(tmp_path):
    found = guessed(data_files.air_quality(tmp_path / "air.csv"))
    assert (found["separator"], found["decimal"], found["timestamp"]) == (";", ",", ("Date", "Time"))
    assert found["timestamp_format"] == "%d/%m/%Y %H.%M.%S"
    assert found["sentinels"] == (-200.0,)
    assert found["exclude"] == ("NMHC(GT)",)
    assert (found["missing"], found["gaps"]) == ("break", {"*": "hold:3"})


def test_a_historians_export(tmp_path):
    found = guessed(data_files.historian(tmp_path / "long.csv"))
    assert [found[key] for key in ("tag", "value", "quality", "good_quality")] == ["tag", "value", "quality", ("Good",)]
    assert found["targets"] == ("PI102.PV", "TI101.PV")


def test_samples_at_rates_of_their_own_become_features(tmp_path):
    settings = guess_settings(Request((str(data_files.raw_samples(tmp_path / "raw.csv")),)))
    features = {setting.key: setting.value for setting in settings if setting.table == "features"}
    assert features == {"interval_s": 10.0, "default": ("mean", "std", "peak")}


def test_one_sample_an_interval_gets_its_mean_alone(tmp_path):
    found = guessed(data_files.raw_samples(tmp_path / "raw.csv"), interval_s=5.0)
    assert found["variables"] == {"pressure": ("mean",)}


@pytest.mark.parametrize(
    ("form", "first"),
    [
        ("%d/%m/%Y %H:%M", datetime(2026, 1, 10)),
        ("%m/%d/%Y %I:%M %p", datetime(2026, 1, 10)),
        ("%d.%m.%Y %H:%M:%S", datetime(2026, 2, 27)),
        ("%Y%m%d%H%M%S", datetime(2026, 2, 27)),
    ],
)
def test_a_day_above_12_or_the_years_place_tells_the_form_of_times(tmp_path, form, first):
    path = table(tmp_path / "a.csv", times(240, timedelta(hours=1), form, first))
    assert guessed(path)["timestamp_format"] == form
    assert not needed(path)


def test_even_steps_tell_day_from_month_where_no_day_is_above_12(tmp_path):
    path = table(tmp_path / "a.csv", times(200, timedelta(hours=1), "%m/%d/%Y %H:%M", datetime(2026, 1, 1)))
    assert guessed(path)["timestamp_format"] == "%m/%d/%Y %H:%M"


def test_day_and_month_are_left_open_where_nothing_tells_them_apart(tmp_path):
    path = table(tmp_path / "a.csv", times(200, MINUTE, "%d/%m/%Y %H:%M:%S", datetime(2026, 2, 1)))
    assert guessed(path)["timestamp_format"] == ("%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S")
    assert needed(path) == ["timestamp_format"]
    assert not needed(path, timestamp_format="%m/%d/%Y %H:%M:%S")


def test_the_end_of_a_long_file_tells_day_from_month(tmp_path):
    path = table(
        tmp_path / "a.csv", times(60_000, timedelta(seconds=1), "%d/%m/%Y %H:%M:%S", datetime(2026, 2, 12, 12))
    )
    assert guessed(path)["timestamp_format"] == "%d/%m/%Y %H:%M:%S"


def test_numbers_since_1970_and_a_time_beside_a_running_hour_meter(tmp_path):
    assert guessed(data_files.epoch_milliseconds(tmp_path / "a.csv"))["interval_s"] == 10.0
    rows = [[place, moment, f"{waves(200)[place, 0]:.2f}"] for place, moment in enumerate(times(200, MINUTE))]
    assert guessed(write_rows(tmp_path / "b.csv", ["runtime", "when", "a"], rows))["timestamp"] == "when"


def test_three_digits_behind_every_comma_may_be_thousands(tmp_path):
    path = table(tmp_path / "a.csv", times(100, MINUTE), separator=";", form="{:.3f}")
    assert guessed(path)["decimal"] == (".",)  # said, and it trains as it is
    assert not needed(path)
    path.write_text(path.read_text().replace(".", ","))
    assert needed(path) == ["decimal"]
    path.write_text(path.read_text() + "2026-03-01 10:00:00;0,125;1,5\n")
    assert guessed(path)["decimal"] == ","


@pytest.mark.parametrize(("first", "question"), [(datetime(2025, 10, 22), True), (datetime(2025, 3, 26), False)])
def test_a_clock_that_changes_asks_for_its_zone(tmp_path, first, question):
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    moments = [(first.replace(tzinfo=UTC) + place * timedelta(minutes=15)).astimezone(zone) for place in range(800)]
    path = table(tmp_path / "a.csv", [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in moments])
    assert "Europe/Berlin" in guessed(path)["timezone"]
    assert needed(path) == (["timezone"] if question else [])


def test_an_hour_missing_on_another_night_is_a_gap(tmp_path):
    moments = times(800, timedelta(minutes=15), start=datetime(2026, 3, 10))  # a Tuesday
    path = table(tmp_path / "a.csv", moments[:104] + moments[108:])
    assert "timezone" not in guessed(path)
    assert guessed(path)["gaps"] == {"*": "hold:3"}


def test_rows_out_of_order_and_rows_that_stand_twice(tmp_path):
    moments = times(200, MINUTE)
    assert guessed(table(tmp_path / "a.csv", moments[100:] + moments[:100]))["sort"] is True
    differing = table(tmp_path / "b.csv", moments[:100] + moments[99:])
    assert needed(differing) == ["duplicates"]
    lines = differing.read_text().splitlines()
    lines[101] = lines[100]
    differing.write_text("\n".join(lines))
    assert guessed(differing)["duplicates"] == "first"


def test_a_number_that_another_column_reads_is_no_sentinel_without_a_word(tmp_path):
    rows = [
        [moment, 999 if place % 50 == 0 else 20 + place % 7, 995 + place % 9]
        for place, moment in enumerate(times(400, MINUTE))
    ]
    path = write_rows(tmp_path / "a.csv", ("time", "temperature", "pressure"), rows, ",")
    assert (guessed(path)["sentinels"], needed(path)) == (((999.0,), ()), ["sentinels"])


def test_newest_rows_first_are_the_same_clock_read_from_its_end(tmp_path):
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    start = datetime(2025, 10, 22, tzinfo=UTC)
    moments = [(start + place * timedelta(hours=1)).astimezone(zone) for place in range(300)]
    path = table(tmp_path / "a.csv", [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in moments[::-1]])
    assert needed(path) == ["timezone"]
    assert guessed(path)["sort"] is True


def test_tags_that_report_in_turns_become_features(tmp_path):
    rows = []
    for place, (moment, row) in enumerate(zip(times(600, MINUTE), waves(600), strict=True)):
        rows += [[moment, "a", f"{row[0]:.2f}"], [f"{moment}.{100 + place % 800}", "b", f"{row[1]:.2f}"]]
    found = guessed(write_rows(tmp_path / "a.csv", ("time", "tag", "value"), rows, ","))
    assert (found["targets"], found["default"]) == (("a.mean", "b.mean"), ("mean", "std", "peak"))


def test_a_row_that_stands_twice_hides_no_machine(tmp_path):
    rows = [[moment, pump, place % 13] for pump in ("A", "B") for place, moment in enumerate(times(200, MINUTE))]
    path = write_rows(tmp_path / "a.csv", ("time", "pump", "x"), [*rows[:50], *rows[49:]], ",")
    assert (guessed(path)["asset"], guessed(path)["duplicates"]) == ("pump", "first")


def test_machines_are_told_apart_by_a_name_or_by_times_that_only_rise_within_them(tmp_path):
    for header in ("pump", "x"):
        rows = [
            [m, k, *(f"{v + k:.2f}" for v in waves(200)[i])] for i, m in enumerate(times(200, MINUTE)) for k in (1, 2)
        ]
        assert guessed(write_rows(tmp_path / "a.csv", ["time", header, "a", "b"], rows))["asset"] == header


def test_several_files_are_several_machines(tmp_path):
    files = [table(tmp_path / name, times(200, MINUTE)) for name in ("a.csv", "b.csv")]
    assert guessed(*files)["asset"] == "{file}"
    assert guessed(tmp_path / "*.csv")["file"] == str(tmp_path / "*.csv")
    table(tmp_path / "b.csv", times(200, MINUTE), header=("time", "a", "c"))
    with pytest.raises(DataError, match="other columns"):
        guessed(*files)


def test_labels_constants_counters_and_text_are_left_out_and_switches_not_forecast(tmp_path):
    rows = [
        [place, moment, f"{waves(200)[place, 0]:.2f}", 7.5, place % 2, int(place > 150), "note"]
        for place, moment in enumerate(times(200, MINUTE))
    ]
    found = guessed(write_rows(tmp_path / "a.csv", ["no", "time", "a", "still", "valve", "anomaly", "remark"], rows))
    assert set(found["exclude"]) == {"no", "still", "anomaly", "remark"}
    assert found["targets"] == ("a",)


def test_a_file_without_names_or_times(tmp_path):
    found = guessed(table(tmp_path / "a.csv", times(100, MINUTE), header=()))
    assert (found["column_names"], found["timestamp"]) == (("c1", "c2", "c3"), "c1")
    rows = [[f"{value:.2f}" for value in row] for row in waves(300)]
    found = guessed(write_rows(tmp_path / "b.csv", [], rows))
    assert (found["timestamp"], found["interval_s"]) == ("", 1.0)
    assert guessed(tmp_path / "b.csv", interval_s=180.0)["interval_s"] == 180.0


def test_lines_that_are_channels(tmp_path):
    rows = [[f"{value:.4f}" for value in row] for row in waves(300, 4).T]
    found = guessed(write_rows(tmp_path / "a.csv", [], rows))
    assert found["transposed"] is True
    assert len(found["column_names"]) == 4


def test_windows_fit_the_rows_that_there_are(tmp_path):
    found = guessed(data_files.plain(tmp_path / "long.csv", 2000))
    assert (found["window_length"], found["horizon"]) == (60, 12)
    found = guessed(data_files.plain(tmp_path / "short.csv", 120))
    assert found["window_length"] < 60
    assert guessed(tmp_path / "short.csv", window=10, horizon=2)["window_length"] == 10
    with pytest.raises(DataError, match="too few unbroken rows"):
        guessed(tmp_path / "short.csv", window=100, horizon=30)


def test_parquet_keeps_its_types(tmp_path):
    moments = pl.Series(times(300, MINUTE)).str.to_datetime()
    lists = pl.Series([[1.0, 2.0]] * 300)
    frame = pl.DataFrame({"when": moments, "a": waves(300)[:, 0], "b": waves(300)[:, 1], "spectrum": lists})
    frame.write_parquet(tmp_path / "a.parquet")
    found = guessed(tmp_path / "a.parquet")
    assert (found["timestamp"], found["exclude"], found["targets"]) == ("when", ("spectrum",), ("a", "b"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (bytes(range(256)), "binary content"),
        (b"PK\x03\x04" + bytes(50), "Excel workbook"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "gzip"),
        ("time,a,b\n".encode("utf-16"), "UTF-16"),
        ("time,\N{DEGREE SIGN}C\n2026-01-01,1\n".encode("latin-1"), "not UTF-8"),
        (b"A text.\nIt has lines, and commas.\nNo table.\n", "is not a table"),
        (b"time,a,b\n", "holds no readings"),
        (b"a\n1.5\n2.5\n3.5\n", "a single column"),
        (b"time,a\n2026-01-01,1\n2026-01-02,2,3\n", "longer than the header|not a table"),
        (b"time,a,a\n2026-01-01,1,2\n", "two columns of one name"),
        (b"time;a\n2026-01-01;1.234,5\n2026-01-02;1.235,5\n", "thousands mark"),
        (b"time;a;b\n2026-01-01;1,5;1.5\n2026-01-02;1,25;1.5\n", "two decimal marks"),
        (b"time,a,b\n2026-01-01,1.5,2\nyesterday,2.5,3\n", "times that cannot be read"),
        (b"time,a,b\n2026-01-01,1.5,2\n2026-01-02,Bad,3\n2026-01-03,3.5,1\n", "text in the numeric column 'a'"),
        (b"time,a\n" + b"".join(b"%d.5,%d\n" % (46000 + d // 2, d) for d in range(9)), "Excel's day numbers"),
        (b"time,a\n" + b"".join(b"2026-01-%02d,7\n" % d for d in range(1, 30)), "no column is left"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_refused(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        guessed(tmp_path / "a.csv")


@pytest.mark.parametrize("request_of", [{"timestamp": ("tme",)}, {"asset": "tme"}, {"exclude": ("tme",)}])
def test_a_named_column_that_is_not_there_is_refused_with_the_nearest(tmp_path, request_of):
    with pytest.raises(ConfigError, match="did you mean 'time'"):
        guessed(data_files.plain(tmp_path / "a.csv"), **request_of)


def test_a_target_that_is_no_channel_is_refused(tmp_path):
    path = data_files.plain(tmp_path / "a.csv")
    assert guessed(path, targets=("pressure",))["targets"] == ("pressure",)
    with pytest.raises(ConfigError, match="did you mean 'pressure'"):
        guessed(path, targets=("presure",))
