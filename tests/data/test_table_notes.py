import dataclasses

import numpy as np
from sensor_tables import sensor_table

from toolkit.data.table_notes import notes_of

PLAIN = sensor_table(np.zeros((3, 2)), ("p", "q"))


def test_a_table_as_its_file_holds_it_needs_no_note():
    assert notes_of(PLAIN) == ()
    assert notes_of(dataclasses.replace(PLAIN, gaps=("hold:3", "break"), filled={"p": 0})) == ()


def test_readings_that_were_made_up_are_told_by_channel_and_policy():
    table = dataclasses.replace(PLAIN, gaps=("hold:3", "interpolate:2"), filled={"p": 5, "q": 2}, merged_rows=4)
    assert notes_of(table) == (
        "5 readings were held from the last one before a gap: p 5",
        "2 readings were interpolated across a gap: q 2",
        "readings that were made up so count as truth in the errors above, in favour of persistence",
        "4 rows gave way to a later one at the same place of the grid, but for readings that it lacked",
    )


def test_many_channels_are_not_all_named():
    names = tuple(f"c{number}" for number in range(20))
    table = dataclasses.replace(
        sensor_table(np.zeros((3, 20)), names), gaps=("hold:1",) * 20, filled=dict.fromkeys(names, 1)
    )
    assert notes_of(table)[0].endswith("c6 1, c7 1, 12 channels more")
