"""Which columns of a table are channels; every column that the settings name must be there."""

from collections.abc import Sequence

from toolkit.contract.records import nearest
from toolkit.contract.signals import CALENDAR, channel_from_name, variable_major
from toolkit.data.config import DataConfig
from toolkit.data.text_files import OpenFile, looks_like_no_header
from toolkit.errors import DataError


def channels_of_files(files: Sequence[OpenFile], config: DataConfig) -> tuple[str, ...]:
    """The channels of files of the same columns, variable-major.

    Raises:
        DataError: a column that is named and not there, or that a file lacks.
    """
    check_roles(files, config)
    columns = [*dict.fromkeys(name for file in files for name in file.names)]
    channels = chosen_channels(columns, config, files[0].path.name)
    for file in files:
        if missing := [name for name in channels if name not in file.names]:
            raise DataError(
                f"{file.path.name} has no column {missing[0]!r}, which another of the files has",
                allowed="files of the same columns",
                fix=f"leave the file out, or the column with --exclude {missing[0]}",
            )
    return channels


def check_roles(files: Sequence[OpenFile], config: DataConfig) -> None:
    """Every file has the columns of time, of the machine, and those of a table of one reading a row.

    Raises:
        DataError: one lacks such a column.
    """
    for file in files:
        for name in config.roles:
            if name not in file.names:
                raise _no_such_column(name, file.names, file.path.name)


def chosen_channels(columns: Sequence[str], config: DataConfig, file_name: str) -> tuple[str, ...]:
    """The channels among these columns, or tags, variable-major.

    Raises:
        DataError: one that is named and not there, a target that is no channel, or a channel that is the time.
    """
    roles = () if config.tag else config.roles
    for name in (*config.targets, *config.channels, *config.exclude):
        if name not in columns:
            raise _no_such_column(name, columns, file_name)
    measured = dict.fromkeys([*columns, *(channel_from_name(name).variable for name in columns)])
    for name in config.units:
        if name not in measured:
            raise _no_such_column(name, [*measured], file_name)
    chosen = config.channels or tuple(name for name in columns if name not in roles)
    names = tuple(name for name in chosen if name not in config.exclude)
    for name in config.targets:
        if name not in names:
            raise DataError(f"the target {name!r} is no channel", allowed=", ".join(names))
    if overlap := [name for name in names if name in roles]:
        role = "label" if overlap[0] == config.label else "timestamp or asset"
        raise DataError(
            f"{overlap[0]!r} is the {role} column and cannot be a channel too",
            fix="take it out of data.channels",
        )
    _check_not_computed(columns if config.calendar else names, config, file_name)
    return variable_major(names)


def _check_not_computed(names: Sequence[str], config: DataConfig, file_name: str) -> None:
    """A gateway computes the calendar and reads no sensor of that name."""
    for name in names:
        if channel_from_name(name).variable == CALENDAR and name not in config.exclude:
            raise DataError(
                f"{file_name}: the column {name!r} has a name of the calendar, which is computed from the time",
                fix=f"rename it, or leave it out with --exclude {name}",
            )


def _no_such_column(name: str, columns: Sequence[str], file_name: str) -> DataError:
    near = nearest(name, columns)
    fix = f"did you mean {near!r}?" if near else None
    if fix is None and looks_like_no_header(columns):
        fix = "name the columns of a file without a header with --set data.column_names=[...]"
    return DataError(f"{file_name} has no column {name!r}", allowed=", ".join(columns[:30]), fix=fix)
