"""The comparison as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..results import columns as text_columns
from ..results.metrics import titled
from ..results.plots import TRAIN, VALIDATION, label_axes, new_figure
from .rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = {
    "bits_per_character": "bits per character",
    "perplexity": "perplexity",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "accuracy_all_steps": "accuracy, all steps",
    "mae": "MAE",
    "rmse": "RMSE",
    "nrmse": "NRMSE",
    "mae_last": "MAE at the end",
    "rmse_last": "RMSE at the end",
    "f1": "F1 by window",
    "false_alarms_per_day": "false alarms a day",
    "precision": "precision",
    "recall": "recall",
    "delay_hours": "delay, h",
    "flagged": "normal steps flagged",
}


def markdown(rows: Sequence[Row], titles: Mapping[str, str] = METRICS) -> str:
    """A line per row, aligned. Below them stand the way of each measurement and the notes.

    titles: of the task's metrics. Those of METRICS have their own.
    """
    columns = _columns(rows, titles)
    head = ["model", *columns, "parameters", "bytes", "µs per step", "training, s"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for k, row in enumerate(rows):
        figures = [_number(values[k]) for values in columns.values()]
        numbers = ["–" if n is None else f"{n:,}" for n in (row.parameters, row.bytes)]
        lines.append(
            [row.title, *figures, *numbers, _number(row.us_per_step, 3), _number(row.seconds, 3)]
        )
    text = text_columns.markdown(lines, range(1, len(head)))
    said = [
        f"- {r.title}: {'; '.join(filter(None, (r.measured and f'timed: {r.measured}', r.note)))}\n"
        for r in rows
        if r.measured or r.note
    ]
    return text + "\n" + "".join(said)


def picture(rows: Sequence[Row], titles: Mapping[str, str] = METRICS) -> Figure:
    """Bars: the two chief metrics, and on logarithmic axes bytes and microseconds per step.

    Rows that were skipped are left out. titles: as of `markdown`.
    """
    rows = [row for row in rows if row.metrics is not None][::-1]  # barh draws upwards
    figure = new_figure(14, 1.4 + 0.42 * len(rows))
    panels: list[tuple[str, list[Any], bool]] = [
        *((title, values, False) for title, values in list(_columns(rows, titles).items())[:2]),
        ("bytes", [row.bytes for row in rows], True),
        ("µs per step", [row.us_per_step for row in rows], True),
    ]
    names = [row.title for row in rows]
    for ax, (title, values, logarithmic) in zip(
        figure.subplots(1, len(panels), sharey=True), panels, strict=True
    ):
        drawn = [value or 0 for value in values]
        bars = ax.barh(
            names,
            drawn,
            color=[VALIDATION if row.name == "lstm" else TRAIN for row in rows],
            height=0.6,
        )
        ax.bar_label(bars, [_number(value, 3) for value in values], padding=3, fontsize=8)
        if logarithmic:
            ax.set_xscale("log")
            positive = [value for value in drawn if value > 0]
            ax.set_xlim(min(positive) / 3, 8 * max(positive))
        else:
            ax.set_xlim(0, 1.25 * max(drawn) or 1)
        label_axes(ax, title, "", "")
    return figure


def _columns(rows: Sequence[Row], others: Mapping[str, str]) -> dict[str, list[float | None]]:
    """Title -> the figure of each row, for the metrics that at least one row has."""
    known = METRICS | {name: title for name, title in others.items() if name not in METRICS}
    found = [titled(row.metrics, known) if row.metrics else {} for row in rows]
    titles = dict.fromkeys(title for row in found for title in row)
    columns = {title: [row.get(title) for row in found] for title in titles}
    return {title: values for title, values in columns.items() if set(values) != {None}}


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.{digits}g}".rstrip(".")
