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

TRAIN = "#0072b2"
VALIDATION = "#d55e00"
TRUTH = "#444444"
# Told apart by people who see fewer colours too (Okabe and Ito, 2008), but for its yellow.
PALETTE = (TRAIN, VALIDATION, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a4b1e", "#000000")
DASHES = ("-", "--", ":", "-.")
# Seconds since 1970 that are drawn as dates, of 1973 to 2286. Others count from another beginning.
DATES = (1e8, 1e10)
LARGEST = 14.0  # inches, of a side of the confusion
ANOMALY_FIGURE = "anomaly.png"
RAW = "raw units"


def plot_curves(history: Sequence[Mapping[str, float]], *, logarithmic: bool = False) -> Figure:
    """The loss, the metrics of the validation split and the learning rate, over the epochs.

    history: the rows of history.csv. logarithmic: whether their errors are on the logarithmic scale
    on which the network learns, and not in raw units.
    """
    metrics = [key for key in history[0] if key.startswith("val_") and key != "val_loss"]
    epochs = [row["epoch"] for row in history]
    figure = new_figure(3.7 * (len(metrics) + 2), 3.4)
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
    label_axes(axes[0], "Loss", "epoch", "loss")
    legend_below(axes[0])
    for ax, key in zip(axes[1:], metrics, strict=False):
        ax.plot(epochs, [row[key] for row in history], color=VALIDATION, marker=marker)
        unit = "logarithmic scale" if logarithmic else RAW
        title = _with_unit(key.removeprefix("val_"), unit)
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
    width, height = 0.55 * classes + 2.6, 0.5 * classes + 2.0
    return min(max(4.4, width), LARGEST), min(max(3.8, height), LARGEST)


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
    # Beyond some 100 classes the names cover each other even if they are small.
    some = slice(None, None, -(-size // 100))
    font = 10 if size <= 20 else 7 if size <= 40 else 5
    ax.set_xticks(range(size)[some], names[some], rotation=45, ha="right", fontsize=font)
    ax.set_yticks(range(size)[some], names[some], fontsize=font)
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
    moments = dates(sequence.time)
    if moments is None:
        moments = (
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
                moments,
                0,
                1,
                where=sequence.anomalous,
                transform=bottom_to_top,
                color=VALIDATION,
                alpha=0.2,
                linewidth=0,
            )
        ax.plot(moments, scores[longest], color=TRAIN, linewidth=0.8)
        ax.axhline(threshold, color=TRUTH, linewidth=1, linestyle="--")
        label_axes(
            ax,
            f"{title}, test split: score, and the threshold from the training split",
            "",
            "score",
        )
    unit = "step" if sequence.time is None else "days"
    dated = date_axis(axes[-1], moments)
    shaded = "" if sequence.anomalous is None else "; shaded: known anomalies"
    axes[-1].set_xlabel((dated or unit) + shaded)
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
    label_axes(ax, "Smaller, step by step", "parameters", _with_unit(metric))
    legend_below(ax)
    return figure


def _with_unit(metric: str, unit: str = RAW) -> str:
    return title_of(metric) + (f" ({unit})" if metric in IN_UNITS else "")


def line_style(k: int) -> dict[str, Any]:
    """Of the line number k from 0, in a figure with many: a colour, then dashes."""
    count = len(PALETTE)
    return {"color": PALETTE[k % count], "linestyle": DASHES[k // count % len(DASHES)]}


def class_colours(count: int) -> list[Any]:
    """A colour for each class, no two alike."""
    from matplotlib import colormaps

    if count <= 10:
        return [colormaps["tab10"](k) for k in range(count)]
    if count <= 20:
        return [colormaps["tab20"](k) for k in range(count)]
    return [colormaps["turbo"](k / (count - 1)) for k in range(count)]


def legend_below(ax: Axes, columns: int = 4) -> None:
    """The legend under the x axis and its label, where it covers no line."""
    from matplotlib.transforms import ScaledTranslation

    assert ax.figure is not None
    down = ScaledTranslation(0, -36 / 72, ax.figure.dpi_scale_trans)
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=ax.transAxes + down,
        ncols=min(columns, max(1, len(handles))),
        frameon=False,
        fontsize=9,
    )


def dates(seconds: NDArray[Any] | None) -> NDArray[Any] | None:
    """(T,) seconds since 1970 as dates. None if they are none."""
    if seconds is None or not len(seconds) or not DATES[0] <= float(seconds[0]) <= DATES[1]:
        return None
    moments: NDArray[Any] = np.round(1e3 * seconds).astype("datetime64[ms]")
    return moments


def date_axis(ax: Axes, moments: NDArray[Any]) -> str:
    """Label the x axis with dates in few words. Returns the days of the first and the last moment,
    "" if `moments` are no dates."""
    if moments.dtype.kind != "M":
        return ""
    from matplotlib import dates as axis

    untyped: Any = axis
    locator = untyped.AutoDateLocator(minticks=3, maxticks=8)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator, show_offset=False))
    first, last = (np.datetime_as_string(m, unit="D") for m in (moments[0], moments[-1]))
    return f"{first} to {last}"


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
