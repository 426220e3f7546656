"""The report's own figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_lstm.results.plots import PALETTE, line_style, plain

from ..work import Inspection

MAX_OUTPUTS = 4
LEGEND = 100  # characters in a line of a legend, of 11 inches


def plot_errors(
    outputs: Mapping[str, NDArray[Any]], reference: NDArray[np.float64], window: int = 25
) -> Figure:
    """The largest absolute error within each `window` of steps, a line for each backend.

    outputs: (steps, O). The scale is logarithmic.
    """
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    ax = figure.add_subplot()
    starts = np.arange(0, len(reference), window)
    for k, (name, values) in enumerate(outputs.items()):
        error = np.abs(values - reference).max(axis=1)
        ax.plot(
            starts,
            np.maximum(np.maximum.reduceat(error, starts), 1e-9),
            label=plain(name),
            linewidth=1.3,
            **line_style(k),
        )
    ax.set_yscale("log")
    ax.set_xlabel("step of the stream")
    ax.set_ylabel(f"max abs error in {window} steps")
    ax.grid(visible=True, alpha=0.25)
    _legend_above(figure, ax)
    return figure


def plot_stream(
    outputs: Mapping[str, NDArray[Any]],
    shown: Collection[str],
    reference: NDArray[np.float64],
    names: Sequence[str],
    steps: int = 300,
) -> Figure:
    """The first `steps` of the first few outputs.

    The reference is a wide grey line. The backends in `shown` lie over it.
    """
    count = min(len(names), MAX_OUTPUTS)
    figure = Figure(figsize=(11, 1.7 * count + 0.6), layout="constrained")
    axes = np.atleast_1d(figure.subplots(count, 1, sharex=True))
    for k, ax in enumerate(axes):
        ax.plot(reference[:steps, k], color="#bbbbbb", linewidth=4, label="float64 reference")
        for place, (name, values) in enumerate(outputs.items()):
            if name in shown:
                style = line_style(place)
                ax.plot(values[:steps, k], linewidth=1, label=plain(name), **style)
        ax.set_ylabel(plain(names[k]))
        ax.grid(visible=True, alpha=0.25)
    _legend_above(figure, axes[0])
    axes[-1].set_xlabel("step of the stream")
    return figure


def _legend_above(figure: Figure, ax: Axes) -> None:
    """One for the whole figure, in as many columns as its names leave room for."""
    handles, names = ax.get_legend_handles_labels()
    longest = max(map(len, names))
    columns = max(1, min(len(names), LEGEND // (longest + 8)))
    figure.legend(
        handles, names, loc="outside upper center", ncols=columns, frameon=False, fontsize=9
    )


def plot_inspection(inspection: Inspection) -> Figure:
    """Left: the NRMSE of each tensor. Right: that of the outputs, for each window of steps."""
    figure = Figure(
        figsize=(11, max(2.6, 0.24 * len(inspection.tensors) + 1)), layout="constrained"
    )
    *lefts, right = figure.subplots(1, 2 if inspection.tensors else 1, squeeze=False)[0]
    for left in lefts:
        names = [plain(row["name"]) for row in inspection.tensors]
        left.barh(names, [max(row["nrmse"], 1e-9) for row in inspection.tensors], color=PALETTE[0])
        left.set_xscale("log")
        left.invert_yaxis()
        left.set_xlabel("NRMSE")
        left.tick_params(axis="y", labelsize=8)
    right.plot(
        np.arange(1, len(inspection.drift) + 1) * inspection.window / 1000,
        inspection.drift,
        marker="o",
        color=PALETTE[1],
    )
    right.set_ylim(bottom=0)
    right.set_xlabel("thousands of steps since the last reset")
    right.set_ylabel("NRMSE of the outputs")
    for ax in (*lefts, right):
        ax.grid(visible=True, alpha=0.25)
    return figure


def plot_ranges(errors: Mapping[str, float], chosen: str) -> Figure:
    """The emulated NRMSE of the int8 cell by each rule for the ranges of its sums."""
    figure = Figure(figsize=(6, 0.6 + 0.35 * len(errors)), layout="constrained")
    ax = figure.add_subplot()
    colours = [PALETTE[1] if rule == chosen else PALETTE[0] for rule in errors]
    bars = ax.barh(list(errors), list(errors.values()), color=colours)
    ax.bar_label(bars, [f"{error:.1e}" for error in errors.values()], padding=3)
    ax.margins(x=0.15)
    ax.invert_yaxis()
    ax.set_xlabel("NRMSE, emulated")
    return figure
