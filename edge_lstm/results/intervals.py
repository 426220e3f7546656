"""How far a figure of few sequences may be off."""

from __future__ import annotations

import math

SCORE = 1.959964  # the quantile of the normal distribution that leaves out 2.5 % at either end


def wilson(right: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, if the cases are independent (Wilson, 1927). of: from 1."""
    share = right / of
    square = SCORE**2 / of
    centre = (share + square / 2) / (1 + square)
    half = SCORE * math.sqrt(share * (1 - share) / of + square / (4 * of)) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)
