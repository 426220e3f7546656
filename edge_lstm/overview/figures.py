"""The pictures of the page. Each is as wide as a telephone: two stand side by side on a desk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..results.plots import TRAIN, TRUTH, VALIDATION, label_axes, new_figure, plain
from .facts import Overview, column
from .short import TITLES, parts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.6  # inches
STEPS = 2000  # of each split
LINES = 8  # channels that are drawn one by one
BARS = 30  # classes
COLOURS = (TRAIN, VALIDATION, TRUTH)  # of training, validation, test


def figures(found: Overview) -> Iterator[tuple[str, Figure]]:
    """With a sentence each."""
    if found.classes:
        yield (
            "How often each class is in each split. One that is rare in a split is measured badly.",
            _classes(found),
        )
    if found.channels and len(found.channels) <= LINES:
        yield (
            f"The longest sequence of each split, its first {STEPS:,} steps, in raw units.",
            _series(found),
        )
        yield (
            "How the values are spread. If the test split's lie elsewhere, the model has to answer "
            "for values that it never saw.",
            _spreads(found),
        )
    elif found.channels:
        yield (
            "The longest sequence of each split: each row is an input, by its deviations from the "
            "mean (blue below, red above).",
            _image(found),
        )
    if any(part.sequences > 3 for part in found.parts):
        yield "How long the sequences are.", _lengths(found)


def _classes(found: Overview) -> Figure:
    per_row = any(s.labels is not None for s in found.splits.train)
    names = [*found.classes][:BARS]
    figure = new_figure(WIDTH, 1.1 + 0.42 * len(names))
    ax = figure.add_subplot()
    places = np.arange(len(names))
    for k, (title, colour) in enumerate(zip(TITLES.values(), COLOURS, strict=True)):
        counts = [found.classes[name][per_row][k] for name in names]
        ax.barh(places + 0.27 * (k - 1), counts, 0.25, color=colour, label=title)
    ax.set_yticks(places, [_short(name) for name in names])
    ax.invert_yaxis()
    more = f" (the first {BARS} of {len(found.classes)})" if len(found.classes) > BARS else ""
    label_axes(ax, f"Classes{more}", "steps" if per_row else "sequences", "")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _series(found: Overview) -> Figure:
    count = len(found.channels)
    figure = new_figure(WIDTH, 0.6 + 1.15 * count)
    axes = np.atleast_1d(figure.subplots(count, 1, sharex=True))
    start = 0
    for (title, sequences), colour in zip(parts(found.splits).items(), COLOURS, strict=True):
        x = max(sequences, key=lambda s: len(s.x)).x[:STEPS]
        steps = np.arange(start, start + len(x))
        for k, (ax, channel) in enumerate(zip(axes, found.channels, strict=True)):
            place = found.splits.channels.index(channel.name)
            ax.plot(
                steps, x[:, place], color=colour, linewidth=0.9, label=title if k == 0 else None
            )
        start += len(x)
    for ax, channel in zip(axes, found.channels, strict=True):
        label_axes(ax, _short(channel.name), "", "")
    axes[-1].set_xlabel("step: training, then validation, then test")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _spreads(found: Overview) -> Figure:
    count = len(found.channels)
    figure = new_figure(WIDTH, 0.6 + 1.15 * count)
    axes = np.atleast_1d(figure.subplots(count, 1))
    for k, (ax, channel) in enumerate(zip(axes, found.channels, strict=True)):
        values = [
            column(sequences, found.splits.channels.index(channel.name))
            for sequences in parts(found.splits).values()
        ]
        known = [v[np.isfinite(v)] for v in values]
        everything = np.concatenate(known)
        low, high = np.quantile(everything, (0.001, 0.999)) if len(everything) else (0.0, 1.0)
        edges = np.linspace(low, high if high > low else low + 1, 40)
        for title, part, colour in zip(TITLES.values(), known, COLOURS, strict=True):
            share = np.histogram(part, edges)[0] / max(len(part), 1)
            ax.stairs(share, edges, color=colour, label=title if k == 0 else None, linewidth=1.1)
        label_axes(ax, _short(channel.name), "", "share")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _image(found: Overview) -> Figure:
    figure = new_figure(WIDTH, 5.4)
    axes = figure.subplots(3, 1)
    train = np.concatenate([s.x for s in found.splits.train])
    known = np.maximum((~np.isnan(train)).sum(axis=0), 1)
    mean = np.nansum(train, axis=0) / known
    deviation = np.sqrt(np.nansum((train - mean) ** 2, axis=0) / known)
    for ax, (title, sequences) in zip(axes, parts(found.splits).items(), strict=True):
        sequence = max(sequences, key=lambda s: len(s.x))
        x = (sequence.x[:STEPS] - mean) / np.where(deviation > 0, deviation, 1)
        ax.imshow(x.T, aspect="auto", origin="lower", cmap="RdBu_r", vmin=-3, vmax=3)
        label = "" if sequence.label is None else f", {found.splits.classes[sequence.label]}"
        label_axes(ax, _short(f"{title}: {sequence.name}{label}", 48), "", "input")
        ax.grid(visible=False)
    axes[-1].set_xlabel("step")
    return figure


def _lengths(found: Overview) -> Figure:
    figure = new_figure(WIDTH, 2.6)
    ax = figure.add_subplot()
    lengths = [[len(s.x) for s in sequences] for sequences in parts(found.splits).values()]
    edges = np.linspace(min(map(min, lengths)), max(map(max, lengths)) + 1, 30)
    for title, part, colour in zip(TITLES.values(), lengths, COLOURS, strict=True):
        ax.stairs(np.histogram(part, edges)[0], edges, color=colour, label=title, linewidth=1.2)
    label_axes(ax, "Lengths", "steps", "sequences")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _short(name: str, most: int = 24) -> str:
    return plain(name if len(name) <= most else name[: most - 1] + "…")
