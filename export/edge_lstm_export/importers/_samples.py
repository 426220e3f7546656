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


def samples_of(given: Float32 | str | Path, features: int) -> Float32:
    """(T, F) of an array or a file. Raises ConversionError or DataError."""
    if isinstance(given, np.ndarray):
        return _checked(given, "samples", features)
    return read_samples(Path(given), features)


def read_samples(path: Path, features: int) -> Float32:
    """(T, F) of a .npy file, or of a .csv with a header. Raises ConversionError or DataError."""
    if path.suffix.lower() == ".csv":
        names = header_of(path, STANDARD)
        table = read_table(path, STANDARD, Wanted(dict.fromkeys(names, "--samples")))
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
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise ConversionError(f"{source}: expected numbers, without NaN and infinity")
    return found.astype(np.float32)
