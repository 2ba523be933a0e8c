"""Quotation marks behind which rows would vanish."""

import io

import pytest

from toolkit.data.config import DataConfig
from toolkit.data.source import read_frame
from toolkit.data.text_pieces import check_quotes, row_count, whole_rows
from toolkit.errors import DataError


def rows(*notes: str) -> str:
    return "".join(f"2026-01-01T00:0{minute}:00Z,{note},{minute}\n" for minute, note in enumerate(notes))


@pytest.mark.parametrize(
    ("notes", "row"),
    [
        (("a", '12" pipe', "b", '12" pipe', "c"), 2),
        (("a", "b", '12" pipe', "c"), 3),
        (('"two\nlines"', '"open', "b", 'closed "here'), 2),
        (('"two\nlines"', '"open', "b", "c"), 2),
    ],
)
def test_a_mark_that_swallows_rows_is_refused_with_its_row(notes, row, tmp_path) -> None:
    text = rows(*notes)
    with pytest.raises(DataError, match=f"encloses no cell; got one in row {row} "):
        check_quotes(text.encode(), "x.csv", ",", 1)
    (tmp_path / "x.csv").write_text("time,note,t\n" + text)
    config = DataConfig(file=str(tmp_path / "x.csv"), timestamp="time", channels=("t",), targets=("t",))
    with pytest.raises(DataError, match=f"got one in row {row} "):
        read_frame(config)


@pytest.mark.parametrize(
    "note", ['"two\nlines"', '"12"" pipe"', '"a ""word""\nand more"', '""', '5" x 6"', '"a, b"', '"two\r\nlines"']
)
def test_cells_in_quotes_are_read(note, tmp_path) -> None:
    text = rows("a", note, "b", note).removesuffix("\n")
    check_quotes(text.encode(), "x.csv", ",", 1)
    (tmp_path / "x.csv").write_text("time,note,t\n" + text, newline="")
    config = DataConfig(file=str(tmp_path / "x.csv"), timestamp="time", channels=("t",), targets=("t",))
    assert read_frame(config).columns["t"].to_list() == [0.0, 1.0, 2.0, 3.0]


def test_where_nothing_is_quoted_every_line_is_a_row() -> None:
    text = b'1 2"\n3 4\n5 6"\n'
    assert row_count(text, quoted=False) == 3
    assert list(whole_rows(io.BytesIO(text), "x", 7, 100, quoted=False)) == [b'1 2"\n', b'3 4\n5 6"\n']


@pytest.mark.parametrize("mark", ["", '"'])
def test_lines_that_end_in_carriage_returns_alone_are_refused(mark, tmp_path) -> None:
    lines = ["time,t", "2026-01-01T00:00:00Z,1", "2026-01-01T00:01:00Z,2"]
    quoted = [",".join(mark + cell + mark for cell in line.split(",")) for line in lines]
    (tmp_path / "x.csv").write_text("\r".join(quoted), newline="")
    config = DataConfig(file=str(tmp_path / "x.csv"), timestamp="time", channels=("t",), targets=("t",))
    with pytest.raises(DataError, match=r"x.csv: its lines end in carriage returns alone; fix: end them"):
        read_frame(config)
