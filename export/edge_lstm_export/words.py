"""Figures in sentences."""

from __future__ import annotations


def beside(value: float, limit: float, digits: int = 1) -> tuple[str, str]:
    """Both as they are printed, with enough digits to show which is larger.

    digits: the least number of them after the point.
    """
    for more in range(digits, 17):
        shown = f"{value:.{more}e}"
        allowed = f"{limit:.{more}e}"
        if (float(shown) <= float(allowed)) == (value <= limit):
            break
    return shown, allowed
