"""How figures are written in the sentences of a report."""

from __future__ import annotations

import math

LAST = "at the last step of each sequence"


def percent(share: float) -> str:
    """Says 100.0 % of all alone."""
    text = f"{100 * share:.1f} %"
    return "more than 99.9 %" if text == "100.0 %" and share < 1 else text


def signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # no -0.0


def more(value: float, than: float) -> float:
    """By how many percent `value` is more than `than`."""
    if than:
        return 100 * (value / than - 1)
    return math.inf if value else 0.0


def ahead(steps: int) -> str:
    return f"{steps} step{'s' if steps > 1 else ''} ahead"
