"""A table of polars as a table of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs.text import TextForm

from .recordings import Float64
from .table import Table, Times, Wanted


def table_of(frame: pl.DataFrame, path: Path, form: TextForm, wanted: Wanted) -> Table:
    """The frame has the columns that are wanted. Raises DataError for one of a wrong type."""
    if not len(frame):
        expected = "expected a header and at least one row of samples"
        raise DataError(f"{path}: the file is empty (no rows); {expected}")
    where = str(path)
    return Table(
        path,
        len(frame),
        {name: _numbers(frame[name], where, form) for name in wanted.numbers},
        {name: _texts(frame[name], where) for name in wanted.texts},
        _times([frame[name] for name in wanted.time], where),
        form,
    )


def _text(series: pl.Series, where: str, expected: str) -> pl.Series:
    """Text, stripped. Raises DataError if a cell is no text."""
    try:
        text = series.cast(pl.String).str.strip_chars()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):  # bytes that are no UTF-8
        text = None
    if text is None or series.dtype.is_nested():
        raise DataError(
            f"{where}: column {series.name!r} holds {series.dtype}; expected {expected}"
        )
    return text


def _texts(series: pl.Series, where: str) -> NDArray[np.str_]:
    if series.dtype.is_float():  # NaN is no name
        series = series.fill_nan(None)
    return _text(series, where, "text or numbers").fill_null("").to_numpy().astype(np.str_)


def _numbers(series: pl.Series, where: str, form: TextForm) -> Float64:
    if series.dtype in (pl.String, pl.Categorical, pl.Enum):
        found = np.empty(len(series))
        for row, cell in enumerate(_text(series, where, "numbers").fill_null("")):
            try:
                found[row] = form.number(cell)
            except ValueError:
                raise DataError(
                    f"{where}: column {series.name!r}, row {row + 1}: {cell!r} is no number; "
                    "correct the cell, or take the column out of `channels`"
                ) from None
        return found
    if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
        raise DataError(f"{where}: column {series.name!r} holds {series.dtype}; expected numbers")
    values = series.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    return form.without_gaps(values)


def _times(columns: list[pl.Series], where: str) -> Times | None:
    if not columns:
        return None
    name = " ".join(series.name for series in columns)
    if len(columns) > 1 or not columns[0].dtype.is_temporal():
        parts = [_text(series, where, "numbers or datetimes").fill_null("") for series in columns]
        return Times(name, list(map(" ".join, zip(*parts, strict=True))))
    (series,) = columns
    if series.null_count():
        row = int(np.argmax(series.is_null().to_numpy())) + 1
        raise DataError(
            f"{where}: time column {name!r}, row {row}: there is no time; correct the cell, or "
            "remove `time` from [data]"
        )
    if series.dtype == pl.Time:
        found = series.cast(pl.Int64).to_numpy() / 1e9
    elif series.dtype == pl.Duration:
        found = series.cast(pl.Duration("us")).cast(pl.Int64).to_numpy() / 1e6
    else:
        found = series.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy() / 1e6
    return Times(
        name, list(map(str, series)), found, dated=series.dtype not in (pl.Time, pl.Duration)
    )
