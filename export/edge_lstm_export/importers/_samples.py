"""The samples that a net is proved, calibrated and measured with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.data.read_text import header_of, read_table
from edge_lstm.data.table import Wanted
from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.inputs.text import STANDARD

from . import Float32

MADE = 3000  # steps
SEED = 0


def made(features: int, counts: Mapping[int, int]) -> Float32:
    """(MADE, F) of the standard normal distribution, always the same.

    counts: feature -> N, for one that is drawn from the whole numbers below N.
    """
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal((MADE, features))
    for k, count in counts.items():
        values[:, k] = rng.integers(count, size=MADE)
    return values.astype(np.float32)


def check_counts(xs: Float32, counts: Mapping[int, int], source: str) -> None:
    """Raise ConversionError for a feature that should be a whole number below N, and is none."""
    for k, count in counts.items():
        wrong = (xs[:, k] != np.rint(xs[:, k])) | (xs[:, k] < 0) | (xs[:, k] >= count)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ConversionError(
                f"{source}: value {k} of row {row} is {xs[row, k]:g}, expected a whole number from "
                f"0 to {count - 1}, which an embedding looks up"
            )


def samples_of(
    given: Float32 | str | Path, features: int, inputs: tuple[str, ...] = ()
) -> tuple[Float32, tuple[str, ...]]:
    """(T, F) of an array or a file, and the names of the features in it, () if it has none.

    inputs: the names that the net has, () if none. Columns of these names may be in any order.
    Raises ConversionError or DataError.
    """
    if isinstance(given, np.ndarray):
        return _checked(given, "samples", features), ()
    path = Path(given)
    names = _columns(path, inputs) if path.suffix.lower() == ".csv" else ()
    return read_samples(path, features, names), names


def _columns(path: Path, inputs: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a header, in the order of the inputs."""
    names = header_of(path, STANDARD)
    if all(_is_number(name) for name in names):
        raise ConversionError(
            f"{path}: the first line has numbers alone; expected a header with the inputs' names"
        )
    for name in names:
        if names.count(name) > 1:
            raise ConversionError(f"{path}: the header has {name!r} twice")
    if set(names) == set(inputs):
        return inputs
    if (
        strange := [name for name in names if name not in inputs]
        if set(names) & set(inputs)
        else []
    ):
        raise ConversionError(
            f"{path}: has the column {strange[0]!r}; the inputs are {', '.join(inputs)}"
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_samples(path: Path, features: int, names: tuple[str, ...] = ()) -> Float32:
    """(T, F) of a .npy file, or of the columns `names` of a .csv. Raises ConversionError or
    DataError.
    """
    if path.suffix.lower() == ".csv":
        table = read_table(
            path, STANDARD, Wanted(dict.fromkeys(names, "--samples"), configured=False)
        )
        found = np.stack([table.numbers[name] for name in names], axis=1)
    elif path.suffix.lower() == ".npy":
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as e:
            raise ConversionError(f"{path}: can't be read: {str(e).splitlines()[0]}") from e
    else:
        raise ConversionError(f"{path}: expected samples in a .npy, a .csv or a .wav file")
    return _checked(found, str(path), features)


def _checked(found: NDArray[Any], source: str, features: int) -> Float32:
    if found.ndim != 2 or found.shape[1] != features or not len(found):
        raise ConversionError(
            f"{source}: the samples have shape {found.shape}, expected (steps, {features})"
        )
    if found.dtype.kind not in "fiu":
        raise ConversionError(f"{source}: holds {found.dtype}; expected integers or floats")
    with np.errstate(over="ignore"):  # told below
        xs = found.astype(np.float32)
    wrong = ~np.isfinite(xs)
    if wrong.any():
        row, k = np.argwhere(wrong)[0]
        raise ConversionError(
            f"{source}: value {k} of row {row} is {found[row, k]:g}; expected a finite float32"
        )
    return xs
