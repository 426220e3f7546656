"""Answers of classes, counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]  # (classes, classes); the rows are the truth


def counted(truth: NDArray[np.int64], told: NDArray[np.int64], size: int) -> Counts:
    """truth, told: (N,) indices of classes."""
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (truth, told), 1)
    return counts


def accuracy(counts: Counts) -> float:
    return float(counts.diagonal().sum() / counts.sum())


def macro_f1(counts: Counts) -> float:
    """The mean over the classes that occur, in truth or answer."""
    either = counts.sum(axis=0) + counts.sum(axis=1)
    occurs = either > 0
    return float((2 * counts.diagonal()[occurs] / either[occurs]).mean())
