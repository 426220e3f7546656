"""The report's figure on the ranges of a w8a8 model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...quantize.worst_stage import worst_stage
from ...report.plots import plot_ranges
from ...work import Work
from .prepare import ranges

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures(work: Work) -> dict[str, tuple[str, Figure]]:
    chosen = ranges(work)
    if chosen is None:
        return {}
    caption = (
        "Error of the int8 cell by the rule for the ranges of its sums, emulated over "
        f"validation and training data. {worst_stage(work.spec, chosen)}. Taken: {chosen.rule}"
    )
    return {"Ranges in int8": (caption, plot_ranges(chosen.errors, chosen.rule))}
