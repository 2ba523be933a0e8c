"""The assets in the journal of a gateway that is stopped: which there are, and how they are taken out.

No bundle is needed and none is run. Nor does the journal become another bundle's, as `Journal.restore` makes it: it is
whose it was, less the assets that were forgotten.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Self

from toolkit.contract.frozen import dataclass
from toolkit.contract.records import nearest
from toolkit.edge.changes import AssetRecord, Sample
from toolkit.edge.journal_file import NAME, JournalFile
from toolkit.edge.journal_records import asset_of, pack_samples, seal, unpack_record, unpack_samples, unseal
from toolkit.errors import OutputError, RequestError


@dataclass(frozen=True)
class KnownAsset:
    """One asset of a journal.

    Attributes:
        name: as topics call it.
        newest_us: of its accepted readings, microseconds since 1970 UTC by the source's clock; None where there is
            none any more.
        series: number of the unbroken series that its last row belongs to.
        open_readings: accepted, and in no closed interval.
    """

    name: str
    newest_us: int | None
    series: int
    open_readings: int


class StoppedJournal:
    """The journal in a folder, which no gateway may use meanwhile; a context manager that lets it go.

    Args:
        folder: of a journal that is there: none is made.

    Raises:
        RequestError: there is none.
        OutputError: the folder cannot be read or written, or a gateway runs there.
        JournalDamagedError: the file is no journal, a damaged one, or one of another version.
    """

    def __init__(self, folder: Path) -> None:
        _check_there(folder)
        self._file = JournalFile(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def path(self) -> Path:
        """The main file."""
        return self._file.path

    def assets(self) -> tuple[KnownAsset, ...]:
        """All of them, by the time of their newest reading: what is silent for longest comes first.

        Raises:
            JournalDamagedError: a record is not what was written.
            OutputError: the file cannot be read.
        """
        with self._file.reading():
            records = _records(self._file.connection)
            waiting: dict[int, list[Sample]] = {}
            for _, samples in _batches(self._file.connection):
                for sample in samples:
                    if sample.asset in records and _is_open(sample, records[sample.asset]):
                        waiting.setdefault(sample.asset, []).append(sample)
        known = [_known(record, waiting.get(number, ())) for number, record in records.items()]
        return tuple(sorted(known, key=lambda asset: (asset.newest_us or 0, asset.name)))

    def forget(self, names: Collection[str]) -> None:
        """Takes assets out, in one transaction that is on the disk when this returns: their next reading is the first.

        Their records, kept rows and open readings go. No sample of theirs stays behind, since a new asset may get a
        number that has become free. Forecasts of theirs that wait for the broker stay, and are sent. An interval that
        was forecast before and whose readings come again is forecast again: `open_place`, which kept its key from
        coming twice, is gone.

        Args:
            names: of assets that are there.

        Raises:
            RequestError: one of them is not; nothing is changed then.
            JournalDamagedError: a record is not what was written; nothing is changed then.
            OutputError: the file cannot be written: all of them are there, or none where it was the very end of the
                transaction that could not be synced.
        """
        with self._file.reading():
            connection = self._file.connection
            numbers = {record.name: number for number, record in _records(connection).items()}
            _check_known(names, numbers)
            gone = {numbers[name] for name in names}
            connection.execute("BEGIN IMMEDIATE")
            _take_out_samples(connection, gone)
            keys = [row for row in connection.execute("SELECT id FROM kept") if asset_of(row[0]) in gone]
            connection.executemany("DELETE FROM kept WHERE id = ?", keys)
            connection.executemany("DELETE FROM asset WHERE number = ?", [(number,) for number in gone])
            connection.execute("COMMIT")


def _check_there(folder: Path) -> None:
    try:
        os.stat(folder / NAME)
    except (FileNotFoundError, NotADirectoryError):
        raise RequestError(f"there is no journal in {folder}", fix="name the folder that the gateway uses") from None
    except OSError as error:
        fix = "run it as the gateway's user or as root"
        raise OutputError(f"cannot read the journal's folder {folder}", got=error.strerror, fix=fix) from error


def _check_known(names: Collection[str], known: Collection[str]) -> None:
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if not unknown:
        return
    near = dict.fromkeys(filter(None, (nearest(name, known) for name in unknown)))
    raise RequestError(
        f"the journal has no asset {', '.join(map(repr, unknown))}; nothing was forgotten",
        fix=f"did you mean {', '.join(map(repr, near))}?" if near else "--list shows those that it has",
    )


def _records(connection: sqlite3.Connection) -> dict[int, AssetRecord]:
    found = connection.execute("SELECT * FROM asset")
    return {number: unpack_record(number, unseal(number, content)) for number, content in found}


def _batches(connection: sqlite3.Connection) -> Iterator[tuple[int, list[Sample]]]:
    for batch, content in connection.execute("SELECT * FROM samples ORDER BY id"):
        yield batch, unpack_samples(unseal(batch, content))


def _take_out_samples(connection: sqlite3.Connection, gone: Collection[int]) -> None:
    """Writes the batches anew that hold samples of these assets, under their numbers and in their order."""
    left = {
        batch: [sample for sample in samples if sample.asset not in gone]
        for batch, samples in _batches(connection)
        if any(sample.asset in gone for sample in samples)
    }
    for batch, samples in left.items():
        if samples:
            content = seal(batch, pack_samples(samples))
            connection.execute("UPDATE samples SET content = ? WHERE id = ?", (content, batch))
        else:
            connection.execute("DELETE FROM samples WHERE id = ?", (batch,))


def _is_open(sample: Sample, record: AssetRecord) -> bool:
    """Whether no closed interval holds it: those of a column close in the order of their times."""
    newest = record.newest_us[sample.column] if sample.column < len(record.newest_us) else None
    return newest is None or sample.time_us > newest


def _known(record: AssetRecord, waiting: Sequence[Sample]) -> KnownAsset:
    times = [time for time in record.newest_us if time is not None] + [sample.time_us for sample in waiting]
    return KnownAsset(record.name, max(times, default=None), record.series, len(waiting))
