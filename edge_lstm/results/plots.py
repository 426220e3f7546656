"""Figures of a run, for its folder and for the report.

None of them touches matplotlib's global state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.files import atomic_write

from ..data.recordings import Sequence as Recorded
from .metrics import IN_UNITS, headline, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN = "#1f77b4"
VALIDATION = "#d95f02"
TRUTH = "#444444"
ANOMALY_FIGURE = "anomaly.png"


def plot_curves(history: Sequence[Mapping[str, float]]) -> Figure:
    """The loss, the metrics of the validation split and the learning rate, over the epochs.

    history: the rows of history.csv.
    """
    metrics = [key for key in history[0] if key.startswith("val_") and key != "val_loss"]
    epochs = [row["epoch"] for row in history]
    figure = new_figure(4.2 * (len(metrics) + 2), 3.4)
    axes = [figure.add_subplot(1, len(metrics) + 2, k + 1) for k in range(len(metrics) + 2)]
    marker = "o" if len(history) == 1 else None
    axes[0].plot(
        epochs, [row["train_loss"] for row in history], color=TRAIN, marker=marker, label="training"
    )
    axes[0].plot(
        epochs,
        [row["val_loss"] for row in history],
        color=VALIDATION,
        marker=marker,
        label="validation",
    )
    if min(row[key] for row in history for key in ("train_loss", "val_loss")) > 0:
        axes[0].set_yscale("log")
    axes[0].legend(loc="upper right", frameon=False)
    label_axes(axes[0], "Loss", "epoch", "loss")
    for ax, key in zip(axes[1:], metrics, strict=False):
        ax.plot(epochs, [row[key] for row in history], color=VALIDATION, marker=marker)
        title = _with_unit(key.removeprefix("val_"))
        label_axes(ax, f"Validation {title}", "epoch", title)
    axes[-1].plot(epochs, [row["learning_rate"] for row in history], color=TRAIN, marker=marker)
    label_axes(axes[-1], "Learning rate", "epoch", "learning rate")
    return figure


def plot_confusion(
    matrix: Sequence[Sequence[int]],
    classes: Sequence[str],
) -> Figure:
    """See `draw_confusion`."""
    figure = new_figure(*confusion_size(len(classes)))
    draw_confusion(figure.add_subplot(), matrix, classes)
    return figure


def confusion_size(classes: int) -> tuple[float, float]:
    """Width and height, in inches."""
    return max(4.4, 0.55 * classes + 2.6), max(3.8, 0.5 * classes + 2.0)


def draw_confusion(ax: Axes, matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """matrix: rows are the truth, columns the answer.

    Cells show counts, colours the share of the row.
    """
    counts = np.asarray(matrix)
    size = len(classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    bar = ax.figure.colorbar(image, ax=ax, label="share of the true class")
    bar.outline.set_visible(False)
    names = [plain(name) for name in classes]
    ax.set_xticks(range(size), names, rotation=45, ha="right")
    ax.set_yticks(range(size), names)
    if size <= 25:  # beyond it the numbers cover each other
        for (row, column), count in np.ndenumerate(counts):
            ax.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                color="white" if share[row, column] > 0.5 else "black",
            )
    ax.set_title("Confusion matrix, test split")
    ax.set_xlabel("answer")
    ax.set_ylabel("truth")


def plot_anomalies(
    sequences: Sequence[Recorded], detectors: Mapping[str, tuple[Sequence[NDArray[Any]], float]]
) -> Figure:
    """A panel for each detector, with the longest sequence's scores over time.

    Windows of known anomalies are shaded, and the threshold is a line. detectors: title -> the
    scores (T,) of each sequence, NaN if there is none, and the threshold.
    """
    longest = max(range(len(sequences)), key=lambda k: len(sequences[k].x))
    sequence = sequences[longest]
    days = (
        np.arange(len(sequence.x))
        if sequence.time is None
        else (sequence.time - sequence.time[0]) / 86400
    )
    figure = new_figure(12, 0.8 + 2.2 * len(detectors))
    axes = np.atleast_1d(figure.subplots(len(detectors), 1, sharex=True))
    for ax, (title, (scores, threshold)) in zip(axes, detectors.items(), strict=True):
        if sequence.anomalous is not None:
            bottom_to_top = ax.get_xaxis_transform()
            ax.fill_between(
                days,
                0,
                1,
                where=sequence.anomalous,
                transform=bottom_to_top,
                color=VALIDATION,
                alpha=0.2,
                linewidth=0,
            )
        ax.plot(days, scores[longest], color=TRAIN, linewidth=0.8)
        ax.axhline(threshold, color=TRUTH, linewidth=1, linestyle="--")
        label_axes(
            ax,
            f"{title}, test split: score, and the threshold from the training split",
            "",
            "score",
        )
    axes[-1].set_xlabel("step" if sequence.time is None else "days; shaded: known anomalies")
    return figure


def draw_against(ax: Axes, truth: NDArray[Any], answer: NDArray[Any], markersize: float) -> None:
    known = np.isfinite(truth) & np.isfinite(answer)
    ax.plot(truth[known], answer[known], ".", markersize=markersize, alpha=0.4, color=VALIDATION)
    ends = [float(np.min(truth[known])), float(np.max(truth[known]))] if known.any() else [0.0, 1.0]
    ax.plot(ends, ends, color=TRUTH, linewidth=1)


def plot_compact(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """rows: as of `results.sizes`. The chief metric of both splits over the parameters."""
    metric = headline(rows[0]["test"])
    figure = new_figure(8, 4)
    ax = figure.add_subplot()
    parameters = [row["parameters"] for row in rows]
    for part, colour in (("val", VALIDATION), ("test", TRAIN)):
        values = np.array([row[part][metric] for row in rows], float)  # NaN for None
        ax.plot(
            parameters,
            values,
            "o-",
            color=colour,
            linewidth=0.8,
            markersize=4,
            label="validation" if part == "val" else part,
        )
    for row, place in zip(rows, zip(parameters, values, strict=True), strict=True):
        ax.annotate(
            plain(row["model"]), place, xytext=(4, 4), textcoords="offset points", fontsize=7
        )
    ax.set_xscale("log")
    ax.legend(loc="upper right", frameon=False)
    label_axes(ax, "Smaller, step by step", "parameters", _with_unit(metric))
    return figure


def _with_unit(metric: str) -> str:
    return title_of(metric) + (" (raw units)" if metric in IN_UNITS else "")


def save_figure(figure: Figure, path: Path) -> None:
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def new_figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(text: str) -> str:
    """A text with a user's names in it, for matplotlib, which would read $...$ as a formula."""
    return text.replace("$", r"\$")


def label_axes(ax: Axes, title: str, x: str, y: str) -> None:
    """title, x, y: plain text, no formulas."""
    ax.set_title(plain(title), fontsize=10)
    ax.set_xlabel(plain(x))
    ax.set_ylabel(plain(y))
    ax.grid(visible=True, alpha=0.25)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
