"""The pictures of `edge-lstm inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from edge_lstm.results.plots import PALETTE, plain
from edge_lstm_runtime.layers.lstm import GATES

from .channels import METRICS, Channels
from .context import Context
from .gates import BINS, Gates
from .gradients import Gradients
from .memory import Memory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CHANNELS = 30
MOST_CHARACTERS = 100  # more would not be legible
NAMES = {"i": "input gate i", "f": "forget gate f", "g": "candidate g", "o": "output gate o"}


def plot_gates(gates: Gates) -> Figure:
    """A histogram for each layer and gate. The shares at its ends stand above it."""
    layers = len(gates.counts)
    figure = Figure(figsize=(11, 1.9 * layers + 0.4), layout="constrained")
    axes = figure.subplots(layers, 4, squeeze=False)
    for k, row in enumerate(axes):
        for g, ax in zip(GATES, row, strict=True):
            start = -1.0 if g == "g" else 0.0
            width = (1 - start) / BINS
            counts = gates.counts[k][g]
            ax.bar(
                start + width * np.arange(BINS),
                counts / counts.sum(),
                width,
                align="edge",
                color=PALETTE[GATES.index(g)],
            )
            ax.set_title(
                f"{NAMES[g]}\n{100 * gates.low[k][g]:.3g} % low, "
                f"{100 * gates.high[k][g]:.3g} % high",
                fontsize=9,
            )
            ax.set_yticks([])
            ax.set_xlim(start, 1)
        row[0].set_ylabel(f"layer {k + 1}")
    return figure


def plot_cell(memory: Memory, hold: list[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> Figure:
    """The samples, or a text's bits, and below them a heat map of each layer's cell.

    hold: per layer (H,), sorts the units: the longest memory on top.
    """
    steps = memory.steps if memory.text is None else min(memory.steps, MOST_CHARACTERS)
    layers = len(memory.c)
    figure = Figure(figsize=(11, 2 + 2.3 * layers), layout="constrained")
    top, *maps = figure.subplots(1 + layers, 1, sharex=True, height_ratios=[1] + [1.4] * layers)
    if memory.text is None:
        top.plot(memory.x[:, :MOST_CHANNELS], linewidth=0.9)
        top.set_ylabel("samples\n(std. deviations)")
    else:
        top.bar(range(steps), memory.x[:steps, 0], color=PALETTE[0])
        top.set_ylabel("bits")
    top.grid(visible=True, alpha=0.25)
    for k, (ax, c) in enumerate(zip(maps, memory.c, strict=True)):
        c = c[:steps]
        # Not the maximum: if one unit runs away, the others would be left white.
        limit = float(np.percentile(np.abs(c), 99.5)) or 1.0
        image = ax.imshow(
            c[:, np.argsort(-hold[k])].T,
            aspect="auto",
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
        )
        figure.colorbar(image, ax=ax, label="c", pad=0.01)
        ax.set_ylabel(f"units of layer {k + 1}")
        ax.set_yticks([])
    if memory.text is None:
        maps[-1].set_xlabel("step of the recording")
    else:
        maps[-1].set_xticks(
            range(steps),
            [plain(_visible(character)) for character in memory.text[:steps]],
            family="monospace",
            fontsize=8,
        )
        maps[-1].set_xlabel("the text")
    return figure


def plot_effect(memory: Memory) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    ax = figure.add_subplot()
    for k, effect in enumerate(memory.effect):
        later = np.arange(effect.shape[1])
        ax.fill_between(
            later,
            effect.min(axis=0),
            effect.max(axis=0),
            color=PALETTE[3 - k],
            alpha=0.15,
            linewidth=0,
        )
        ax.plot(
            later,
            np.median(effect, axis=0),
            color=PALETTE[3 - k],
            label=f"layer {k + 1}: median, least and most",
        )
    _logarithmic(ax, [effect.max() for effect in memory.effect])
    ax.set_xlabel(f"steps after the {'sample' if memory.text is None else 'character'}")
    ax.set_ylabel("norm of d c / d x" if memory.text is None else "norm of the change of c")
    ax.legend(loc="upper right", frameon=False, fontsize=8)
    return figure


def plot_channels(channels: Channels) -> Figure:
    """A bar for each channel: how much worse the metric is without it. The metrics lie side by
    side."""
    names = channels.order[:MOST_CHANNELS]
    figure = Figure(figsize=(11, 0.26 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots(1, len(channels.intact), squeeze=False, sharey=True)[0]
    for ax, metric in zip(axes, channels.intact, strict=True):
        harm = [channels.harm(name, metric) for name in names]
        shown = [plain(name) for name in names]
        ax.barh(shown, harm, color=[PALETTE[3] if value > 0 else PALETTE[1] for value in harm])
        ax.axvline(0, color="#444444", linewidth=0.8)
        ax.set_xlabel(f"{METRICS[metric][0]}: how much worse without", fontsize=9)
        ax.grid(visible=True, axis="x", alpha=0.25)
    axes[0].invert_yaxis()
    return figure


def plot_context(context: Context) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    ax = figure.add_subplot()
    ax.axhline(context.whole, color="#444444", linewidth=1, linestyle="--")
    ax.plot(
        np.arange(1, len(context.bits) + 1),
        context.bits,
        color=PALETTE[3],
        marker=".",
        markersize=4,
    )
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.grid(visible=True, which="both", alpha=0.25)
    ax.set_xlabel("characters known since the reset")
    ax.set_ylabel("bits per character")
    return figure


def plot_gradients(gradients: Gradients) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    ax = figure.add_subplot()
    for k in range(len(gradients.h)):
        h, c = gradients.curves(k)
        ax.plot(-np.arange(len(c)), c, color=PALETTE[3 - k], label=f"layer {k + 1}: by c")
        ax.plot(
            -np.arange(len(h)),
            h,
            color=PALETTE[3 - k],
            linestyle="--",
            linewidth=1,
            label=f"layer {k + 1}: by h",
        )
    _logarithmic(
        ax, [max(curve.max() for curve in gradients.curves(k)) for k in range(len(gradients.h))]
    )
    ax.set_xlabel("steps before the loss")
    ax.set_ylabel("norm of d loss / d state")
    ax.legend(loc="upper right", frameon=False, fontsize=8)
    return figure


def _visible(character: str) -> str:
    return {" ": "␣", "\n": "↵", "\t": "⇥"}.get(
        character, character if len(character) == 1 and character.isprintable() else "�"
    )


def _logarithmic(ax: Axes, peaks: list[float]) -> None:
    """Twelve decades below the largest value. Anything below has vanished."""
    if max(peaks) > 0:
        ax.set_yscale("log")
        ax.set_ylim(max(ax.get_ylim()[0], 1e-12 * max(peaks)))
    ax.grid(visible=True, alpha=0.25)
