"""A table's columns as NumPy arrays, with errors that name the row."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError

from .recordings import Float64

# The texts that programs write into a CSV cell without a value.
# Seconds since 1970 that are taken for a date, of 1973 to 2286. Smaller numbers count from another
# beginning, larger ones are milliseconds.
EARLIEST = 1e8
LATEST = 1e10
BLANKS = ("", "na", "n/a", "nan", "null", "none", "?", "-")


def is_blank(text: str) -> bool:
    return text.strip().lower() in BLANKS


def column(frame: pl.DataFrame, name: str, key: str, where: str) -> pl.Series:
    """The column that the configuration's `key` names. Raises DataError if there is none."""
    if name not in frame.columns:
        near = difflib.get_close_matches(name, frame.columns, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"{where}: there is no column {name!r} ({key}); "
            f"{hint}the columns are {', '.join(frame.columns)}"
        )
    return frame[name]


def _cells(series: pl.Series, where: str) -> pl.Series:
    """Text, stripped. Blank cells are null. Raises DataError if a cell is no text."""
    try:
        text = series.cast(pl.String).str.strip_chars()
    except pl.exceptions.PolarsError:  # bytes that are no UTF-8
        text = None
    if text is None or series.dtype.is_nested():
        raise DataError(
            f"{where}: column {series.name!r} holds {series.dtype}; expected text or numbers"
        )
    return text.set(text.str.to_lowercase().is_in(BLANKS).fill_null(False), None)


def _first(mask: pl.Series | NDArray[np.bool_]) -> int:
    return int(np.argmax(np.asarray(mask)))


def numbers(series: pl.Series, where: str, missing: str) -> Float64:
    """(T,) float64, NaN if a cell is blank.

    Raises DataError if a cell is text or inf, or if `missing` refuses a blank one.
    """
    if series.dtype == pl.String:
        text = _cells(series, where)
        values = text.cast(pl.Float64, strict=False)
        wrong = values.is_null() & text.is_not_null()
        if wrong.any():
            row = _first(wrong)
            raise DataError(
                f"{where}: column {series.name!r}, row {row + 1}: {series[row]!r} is no number; "
                "correct the cell, or take the column out of `channels`"
            )
    elif series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null):
        values = series.cast(pl.Float64)
    else:
        raise DataError(f"{where}: column {series.name!r} holds {series.dtype}; expected numbers")
    array = values.fill_null(float("nan")).to_numpy().astype(np.float64)
    check_values(array[:, None], (series.name,), where, missing)
    return array


def check_values(x: Float64, channels: tuple[str, ...], where: str, missing: str) -> None:
    """Raises DataError if x (T, C) has an inf, or a NaN and `missing` is "refuse"."""
    for bad, what, action in (
        (
            np.isinf(x),
            "inf",
            "correct the value, or leave the cell blank and set missing = 'ffill' or 'mask'",
        ),
        (
            np.isnan(x) & (missing == "refuse"),
            "missing (NaN)",
            "fill the cell, or set missing = 'ffill' or 'mask' in [data]",
        ),
    ):
        if bad.any():
            row, channel = np.argwhere(bad)[0]
            raise DataError(
                f"{where}: column {channels[channel]!r}, row {row + 1}: "
                f"the value is {what}; expected a number; {action}"
            )


def labels(series: pl.Series, where: str, *, blank: bool = False) -> NDArray[np.str_]:
    """(T,) the class names, "" for a blank cell. Raises DataError for one without `blank`."""
    text = _cells(series, where)
    if blank:
        text = text.fill_null("")
    if text.is_null().any():
        raise DataError(
            f"{where}: label column {series.name!r}, row {_first(text.is_null()) + 1}: "
            "there is no label; expected one in every row; label it, or remove the row"
        )
    return text.to_numpy().astype(np.str_)


def times(series: pl.Series, where: str) -> NDArray[Any]:
    """(T,) of a type that can be compared.

    Raises DataError if a cell is neither a number nor a datetime.
    """
    return _moments(series, where).to_physical().to_numpy()


def _moments(series: pl.Series, where: str) -> pl.Series:
    """Finite numbers, or values of a temporal type."""
    values = series
    if series.dtype in (pl.String, pl.Categorical, pl.Enum):
        text = _cells(series, where)
        values = text.cast(pl.Float64, strict=False)
        if values.is_null().any():
            try:
                moments = text.str.to_datetime(strict=False, time_unit="us")
            except pl.exceptions.ComputeError:  # no format fits the first cells
                moments = pl.Series(series.name, [None] * len(series), dtype=pl.Datetime)
            # The kind that fits more cells: the error is then in a cell of the other kind.
            if moments.null_count() <= values.null_count():
                values = moments
    elif str(series.dtype).startswith(("Decimal", "Int128", "UInt128", "Null")):
        # NumPy has none of these.
        values = series.cast(pl.Float64)
    if not (values.dtype.is_numeric() or values.dtype.is_temporal()):
        raise DataError(
            f"{where}: time column {series.name!r} holds {series.dtype}; "
            "expected numbers or datetimes"
        )
    wrong = values.is_null()
    if values.dtype.is_float():
        wrong |= ~values.is_finite().fill_null(False)
    if wrong.any():
        row = _first(wrong)
        raise DataError(
            f"{where}: time column {series.name!r}, row {row + 1}: "
            f"{series[row]!r} is neither a number nor a datetime such as 2024-05-31 23:55:00; "
            "correct the cell, or remove `time` from [data]"
        )
    return values


def seconds(series: pl.Series, where: str) -> Float64:
    """(T,) float64: datetimes as seconds since 1970, times of day as seconds since midnight,
    durations in seconds, numbers as they are. Errors as of `times`.
    """
    values = _moments(series, where)
    if values.dtype == pl.Time:
        return values.to_physical().to_numpy() / 1e9
    if values.dtype.is_temporal():
        kind = pl.Duration if values.dtype == pl.Duration else pl.Datetime
        return values.cast(kind("us")).to_physical().to_numpy() / 1e6
    return values.cast(pl.Float64).to_numpy()


def since_1970(series: pl.Series, where: str) -> Float64:
    """(T,) float64 seconds since 1970, for a calendar.

    Raises DataError as `times` does, and for times that are no dates.
    """
    values = _moments(series, where)
    found = seconds(series, where)
    dated = values.dtype in (pl.Datetime, pl.Date)
    numbers = values.dtype.is_numeric() and bool(((found >= EARLIEST) & (found <= LATEST)).all())
    if not (dated or numbers):
        raise DataError(
            f"{where}: time column {series.name!r} holds {values.dtype} such as {series[0]!r}, "
            "which [data.calendar] can't date; expected datetimes such as 2024-05-31 23:55:00, or "
            "seconds since 1970"
        )
    return found


def check_increasing(
    time: NDArray[Any],
    rows: NDArray[np.int64],
    shown: pl.Series,
    where: str,
    *,
    equal: bool = False,
) -> None:
    """Raises DataError if a time is not after the one before.

    time: (T,) of one recording. rows: (T,) their rows in the file, from 0. shown: the file's cells,
    for the message. equal: whether two rows may have the same time.
    """
    back = np.flatnonzero(time[1:] < time[:-1] if equal else time[1:] <= time[:-1])
    if len(back):
        k = int(back[0]) + 1
        raise DataError(
            f"{where}: time column {shown.name!r}, row {rows[k] + 1}: "
            f"{shown[int(rows[k])]} comes after {shown[int(rows[k - 1])]}; "
            "expected times that increase within a recording; sort the file, "
            "name the `group` column that tells its recordings apart, or "
            "set time_back = 'keep' in [data] "
            "if the rows are in the order of measurement and the clock is wrong"
        )
