"""The arrays that training takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from .chunks import let_go

Numbers = TypeVar("Numbers")  # an array or a tensor
TOGETHER = 1 << 20  # steps of the windows that are made examples at once


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

    @property
    def counted(self) -> NDArray[np.int64]:
        """(N,) the number of steps that count."""
        steps: NDArray[np.int64] = self.mask.sum(axis=1)
        return steps

    def parts(self) -> Iterator[Examples]:
        """The same, some at a time."""
        yield self


@dataclasses.dataclass(frozen=True)
class Windows:
    """The same as views of rows, which windows that overlap share.

    rows     (L, F) float32 features. They are in a file if they are many
    known    (L,) the rows whose step counts
    y        (N,) int64 a class for each window; or of rows: (L,) int64, or (L, O) float32
    starts   (N,) the first row of each window
    lengths  (N,) steps before the padding, which is among the rows
    steps    T, of every window with its padding
    of_rows  whether y is
    """

    rows: NDArray[np.float32]
    known: NDArray[np.bool_]
    y: NDArray[np.int64] | NDArray[np.float32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    steps: int
    of_rows: bool

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, chosen: NDArray[np.int64] | slice) -> Examples:
        """chosen: of the windows."""
        first = self.starts[chosen]

        def cut(rows: NDArray[Any]) -> NDArray[Any]:
            shape = (len(rows) - self.steps + 1, self.steps, *rows.shape[1:])
            return as_strided(rows, shape, (rows.strides[0], *rows.strides))[first]

        y = cut(self.y) if self.of_rows else self.y[chosen]
        return Examples(cut(self.rows), self.lengths[chosen], cut(self.known), y)

    @property
    def counted(self) -> NDArray[np.int64]:
        """(N,) the number of steps that count."""
        small = len(self.known) < 2**31
        before: NDArray[Any] = np.zeros(len(self.known) + 1, np.int32 if small else np.int64)
        np.cumsum(self.known, out=before[1:])
        steps: NDArray[np.int64] = before[self.starts + self.steps] - before[self.starts]
        return steps.astype(np.int64)

    def let_go(self) -> None:
        """Tell the system that they are not needed for now."""
        for rows in (self.rows, self.known, self.y):
            let_go(rows)

    def parts(self) -> Iterator[Examples]:
        """Examples of all windows, some at a time."""
        size = max(1, TOGETHER // self.steps)
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))


def at_steps(y: Numbers, steps: slice) -> Numbers:
    """y: as of `Examples`, an array or a tensor -> the targets of these steps."""
    rows: Any = y
    found: Numbers = rows if rows.ndim == 1 else rows[:, steps]
    return found
