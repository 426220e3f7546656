"""Frames of polars and of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_lstm_runtime.errors import DataError

if TYPE_CHECKING:
    import polars as pl

LIBRARIES = ("polars", "pandas")


def is_frame(data: Any) -> bool:
    """Whether it is a table of polars or pandas. Neither is imported."""
    kind = type(data)
    return kind.__module__.split(".")[0] in LIBRARIES and kind.__name__ in (
        "DataFrame",
        "LazyFrame",
    )


def polars_frame(data: Any) -> pl.DataFrame:
    """A frame of polars. An index of pandas that has a name becomes a column.

    Raises DataError for columns that are no numbers, text or times.
    """
    import polars as pl

    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if isinstance(data, pl.DataFrame):
        return data
    if data.index.names != [None]:
        data = data.reset_index()
    try:
        return pl.DataFrame([_series(str(name), data[name]) for name in data.columns])
    except (pl.exceptions.PolarsError, TypeError, ValueError) as e:
        why = str(e).splitlines()[0]
        raise DataError(f"the frame can't be read: {why}; expected numbers, text or times") from e


def _series(name: str, column: Any) -> pl.Series:
    """Column by column, because pandas' own way needs pyarrow."""
    import polars as pl

    if getattr(column, "ndim", 1) != 1:
        raise DataError(f"the frame has the column {name!r} twice; expected each name once")
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if column.dtype.kind in "iufbmM" and hasattr(column.dtype, "itemsize") and not column.hasnans:
        values = column.to_numpy()
        if values.dtype in ("M8[s]", "m8[s]"):  # polars has no such unit
            values = values.astype(f"{values.dtype.kind}8[ms]")
        return pl.Series(name, values)
    if column.dtype.kind in "iufb":
        return pl.Series(name, column.to_numpy(dtype="float64", na_value=float("nan")))
    missing = column.isna()
    values = [None if gone else v for v, gone in zip(column.tolist(), missing, strict=True)]
    return pl.Series(name, values, strict=False)


def numeric(frame: pl.DataFrame) -> list[str]:
    """The names of the columns that hold numbers or truth values."""
    return [
        c.name for c in frame.get_columns() if c.dtype.is_numeric() or str(c.dtype) == "Boolean"
    ]
