"""Arrays that may be larger than the memory, a part at a time."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
WHOLE = 64 << 20  # bytes: arrays that are not more together are taken as one
ROWS = 1 << 16  # of a part


class Rows:
    """The rows of several arrays one after the other, as often as they are asked for.

    arrays: gives them, (T, C) each, anew for each pass. size: bytes of all.
    """

    def __init__(self, arrays: Callable[[], Iterable[Float64]], size: int) -> None:
        self._arrays = arrays
        self._size = size

    def __iter__(self) -> Iterator[Float64]:
        """Parts of them. A sum over each row in turn doesn't depend on where they are cut."""
        if self._size <= WHOLE:
            yield np.concatenate([*self._arrays()])
            return
        for array in self._arrays():
            for part in parts(array):
                yield np.ascontiguousarray(part)

    def column(self, k: int) -> Float64:
        """(T,) of all rows."""
        return np.concatenate([part[:, k] for part in self])

    def changed(self, change: Callable[[Float64], Float64]) -> Rows:
        """The same with a function applied to each part."""
        return Rows(lambda: map(change, self), self._size)

    def sum(self) -> Float64:
        """(C,) added row by row."""
        total: Float64 | None = None
        for part in self:
            rows = part if total is None else np.concatenate([total[None], part])
            total = rows.sum(axis=0)
        assert total is not None
        return total


def parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """An array in parts of ROWS rows, views of it. Each is let go of afterwards."""
    for start in range(0, len(array), ROWS):
        part = array[start : start + ROWS]
        yield part
        let_go(part)


def let_go(array: NDArray[Any]) -> None:
    """Tell the system that a memory-mapped array is not needed for now. It can be read again.

    Nothing is done with one that can be written to.

    Otherwise its pages count as this process's memory until another one is short of it.
    """
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is None or not hasattr(mmap, "MADV_DONTNEED") or not array.flags.c_contiguous:
        return
    if not memoryview(base).readonly:  # what was written into a private copy would be lost
        return
    whole = np.frombuffer(base, np.uint8)
    start = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (start + array.nbytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if length > 0:
        base.madvise(mmap.MADV_DONTNEED, first, length)
