"""Where a row of a frame stood in the files, for messages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RowPlaces:
    """For each row its number and its file.

    Attributes:
        numbers: in its file, from 1, the header not counted, int64 `[rows]`.
        files: names of the files.
        file_of: for each row its file's place in `files`, int64 `[rows]`.
    """

    numbers: NDArray[np.int64]
    files: tuple[str, ...]
    file_of: NDArray[np.int64]

    @classmethod
    def of_files(cls, names: Sequence[str], heights: Sequence[int]) -> "RowPlaces":
        """Of files one after the other, so many rows of each."""
        numbers = np.concatenate([np.arange(1, height + 1) for height in heights])
        return cls(numbers, tuple(names), np.repeat(np.arange(len(names)), heights))

    def taken(self, rows: NDArray[np.integer]) -> "RowPlaces":
        """Of these rows, in this order."""
        return RowPlaces(self.numbers[rows], self.files, self.file_of[rows])

    def found(self, rows: "RowPlaces") -> NDArray[np.int64]:
        """For each of these rows its place here; this holds all rows of the files, one file after the other."""
        offsets = np.searchsorted(self.file_of, np.arange(len(self.files)))
        places: NDArray[np.int64] = offsets[rows.file_of] + rows.numbers - 1
        return places

    def row(self, index: int) -> str:
        """In words; the file is named where there are several."""
        of_file = f" of {self.files[int(self.file_of[index])]}" if len(self.files) > 1 else ""
        return f"row {self.numbers[index]}{of_file}"


def in_file(row: int, column: str) -> str:
    """Where a cell stands in the one file that a message is about; `row` counts from 0."""
    return f"row {row + 1}, column {column!r}"
