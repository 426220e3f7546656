"""Figures in sentences."""

from __future__ import annotations


def beside(value: float, limit: float, digits: int = 1) -> tuple[str, str]:
    """Both as they are printed, with as many digits as show which is larger.

    digits: after the point, at least.
    """
    for more in range(digits, 17):
        shown, allowed = f"{value:.{more}e}", f"{limit:.{more}e}"
        if (float(shown) <= float(allowed)) == (value <= limit):
            break
    return shown, allowed
