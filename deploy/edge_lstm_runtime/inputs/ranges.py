"""Samples far outside of the values that a model was trained on."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

STEPS = 100.0  # times the longest step of time, or that part of the shortest one
ROUNDING = 1e-6  # of a value: that of a constant channel in float32


@dataclasses.dataclass(frozen=True)
class Limits:
    """least, most  (C,) float64, raw units. A value beyond them is out of range
    dt           the place of the channel of steps of time, None if there is none
    """

    least: NDArray[np.float64]
    most: NDArray[np.float64]
    dt: int | None = None

    @classmethod
    def of(
        cls,
        low: tuple[float, ...],
        high: tuple[float, ...],
        dt: int | None = None,
        clock: int | None = None,
    ) -> Limits:
        """low, high: (C,) the training split's extremes. dt, clock: places of such channels.

        The limits are the training's range and its width on either side. For `dt` they are a
        hundredth of the shortest step and a hundred times the longest. A channel of times has none.
        """
        a = np.array(low, np.float64)
        b = np.array(high, np.float64)
        width = np.maximum(b - a, ROUNDING * np.maximum(np.abs(a), np.abs(b)))
        least = a - width
        most = b + width
        if dt is not None:
            least[dt] = a[dt] / STEPS
            most[dt] = b[dt] * STEPS
        if clock is not None:
            least[clock] = -np.inf
            most[clock] = np.inf
        return cls(least, most, dt)

    def exceeded(self, xs: ArrayLike) -> NDArray[np.bool_]:
        """xs: (..., C) raw units, NaN for a missing value -> (..., C).

        A missing value is not beyond, and neither is a step of time of 0, with which a recording
        begins.
        """
        xs = np.asarray(xs)
        found: NDArray[np.bool_] = (xs < self.least) | (xs > self.most)
        if self.dt is not None and found.any():
            found[..., self.dt] &= xs[..., self.dt] != 0
        return found
