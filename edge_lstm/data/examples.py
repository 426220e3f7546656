"""The arrays that training takes."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Rows = TypeVar("Rows")  # an array or a tensor


@dataclasses.dataclass(frozen=True)
class Examples:
    """Sequences or windows, padded at their ends to the longest.

    x        (N, T, F) float32 normalized features, 0 in the padding
    lengths  (N,) steps before the padding
    mask     (N, T) the steps that count: not padding, and every target known
    y        what the network should put out: (N,) int64 a class for each sequence; (N, T) int64 a
             class for each step; or (N, T, O) float32, 0 where masked out
    """

    x: NDArray[np.float32]
    lengths: NDArray[np.int64]
    mask: NDArray[np.bool_]
    y: NDArray[np.int64] | NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.x)


def at_steps(y: Rows, steps: slice) -> Rows:
    """y: as of `Examples`, an array or a tensor -> the targets of these steps."""
    rows: Any = y
    found: Rows = rows if rows.ndim == 1 else rows[:, steps]
    return found
