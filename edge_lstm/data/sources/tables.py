"""CSV and Parquet: a file, or a folder of recordings. Rows are counted from 1, the header not included."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import polars as pl

from edge_lstm_runtime.errors import DataError

from ...config.schema import DataConfig
from .. import columns
from ..recordings import Recording


def read(path: Path, data: DataConfig, part: str | None) -> list[Recording]:
    """The recordings of a file or folder; the file's name without its suffix names the recording."""
    if not path.is_dir():
        return _read_file(path, data, part)
    files = sorted(path.glob(f"*.{data.source}"))
    if not files:
        raise DataError(
            f"{path}: the folder has no *.{data.source} file; expected one per recording"
        )
    return [recording for file in files for recording in _read_file(file, data, part)]


def _read_file(path: Path, data: DataConfig, part: str | None) -> list[Recording]:
    return of_frame(_frame(path, data), path, data, part)


def of_frame(
    frame: pl.DataFrame, path: Path, data: DataConfig, part: str | None
) -> list[Recording]:
    """The recordings in a table that was read from `path`."""
    where = str(path)
    if not len(frame):
        raise DataError(
            f"{where}: the file is empty (no rows); expected a header and at least one row of samples"
        )
    assert data.channels is not None  # load_config checks it for these sources
    x = np.stack(
        [
            columns.numbers(columns.column(frame, c, "channels", where), where, data.missing)
            for c in data.channels
        ],
        axis=1,
    )
    label = (
        columns.labels(columns.column(frame, data.label, "label", where), where)
        if data.label
        else None
    )
    y = None
    if data.target:  # a blank one is a step whose truth is unknown
        y = np.stack(
            [
                columns.numbers(columns.column(frame, t, "target", where), where, "mask")
                for t in data.target
            ],
            axis=1,
        )
        y = y if data.target_cap is None else np.minimum(y, data.target_cap)
    time = (
        columns.seconds(columns.column(frame, data.time, "time", where), where)
        if data.time and (data.windows or data.dt)
        else None
    )
    recordings = []
    for group, rows in _groups(frame, data, path):
        if data.time and data.time_back == "refuse":
            shown = columns.column(frame, data.time, "time", where)
            columns.check_increasing(
                columns.times(shown, where)[rows], rows, shown, where, equal=bool(data.dt)
            )
        name = path.stem if data.group is None else f"{path.stem}:{group}"
        found = Recording(
            name,
            group,
            x[rows],
            None if label is None else label[rows],
            part,
            y=None if y is None else y[rows],
        )
        if time is not None:
            found = dataclasses.replace(found, time=time[rows], file=path)
        recordings.append(_with_dt(found) if data.dt else found)
    return recordings


def _with_dt(recording: Recording) -> Recording:
    """With the seconds since the row before as a last channel; a clock that is set back takes no time."""
    assert recording.time is not None
    dt = np.maximum(np.diff(recording.time, prepend=recording.time[:1]), 0)
    return dataclasses.replace(recording, x=np.column_stack([recording.x, dt]))


def _groups(
    frame: pl.DataFrame, data: DataConfig, path: Path
) -> list[tuple[str, np.ndarray[tuple[int], np.dtype[np.int64]]]]:
    """(group, its rows in the file's order); groups in the order of their first rows."""
    if data.group is None:
        return [(path.stem, np.arange(len(frame)))]
    series = columns.column(frame, data.group, "group", str(path))
    names = columns.labels(series, str(path))
    _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    return [(str(names[first[k]]), np.flatnonzero(inverse == k)) for k in np.argsort(first)]


def _frame(path: Path, data: DataConfig) -> pl.DataFrame:
    try:
        if data.source == "parquet":
            return pl.read_parquet(path)
        content = path.read_bytes()
        if not content.strip():
            raise DataError(
                f"{path}: the file is empty; expected a header and at least one row of samples"
            )
        if (
            data.separator == " "
        ):  # several spaces are one separator, as in tables that people look at
            content = b"\n".join(
                re.sub(rb"[ \t]+", b" ", line.strip()) for line in content.splitlines()
            )
        # Everything is read as text, so that a cell that is no number can be shown with its row.
        frame = pl.read_csv(
            content, separator=data.separator, has_header=data.columns is None, infer_schema=False
        )
    except (pl.exceptions.PolarsError, OSError) as e:
        reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise DataError(
            f"{path}: can't be read as {data.source}: {reason}; expected a table with the same columns in every row"
        ) from e
    if data.columns is None:
        return frame
    if len(frame.columns) != len(data.columns):
        raise DataError(
            f"{path}: rows have {len(frame.columns)} columns, and `columns` in [data] names {len(data.columns)}; "
            f"expected as many names as columns, and the right `separator` (it is {data.separator!r})"
        )
    return frame.rename(dict(zip(frame.columns, data.columns, strict=True)))
