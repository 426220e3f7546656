"""A centre and a spread that a few wild values don't move."""

from __future__ import annotations

import numpy as np

from .recordings import Float64

# Quantiles, and their distance for a normal distribution in standard deviations. The wider ones
# are for channels of few values, such as a switch that is mostly off.
WIDTHS = ((0.25, 1.34898), (0.05, 3.28971), (0.01, 4.65270))


def centre_and_spread(x: Float64) -> tuple[float, float]:
    """x: (T,) without NaN, at least one -> the median, and the spread in standard deviations.

    The spread is from the first quantiles that differ. If none do, it is the median distance of
    the values that are not the median; 0 if all are.
    """
    quantiles = [q for low, _ in WIDTHS for q in (low, 1 - low)]
    median, *ends = np.quantile(x, [0.5, *quantiles]).tolist()
    for (_, width), low, high in zip(WIDTHS, ends[::2], ends[1::2], strict=True):
        if high > low:
            return median, (high - low) / width
    others = np.abs(x[x != median] - median)
    return median, float(np.median(others)) if len(others) else 0.0
