"""The files at the end of a search.

FOLDER/search.md, search.json, search.png   what was found
FOLDER/chosen.toml                          the configuration that was chosen
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_lstm_runtime.files import atomic_write
from edge_lstm_runtime.shown import counted

from ..results.metrics import figure
from ..results.plots import TRAIN, VALIDATION, label_axes, new_figure, save_figure
from ..training import checkpoint
from .engines import Found
from .plan import Plan
from .rows import Point, best_of, choose, fitting, pareto, points
from .table import cost, measured, net, settings, table, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NARROW = 4  # the least range of a logarithmic axis
FIGURES = (("bytes", "bytes"), ("us", "us per step"))


def sentences(plan: Plan, found: Found, chosen: Point, timed: str) -> list[str]:
    """What stands behind the figures."""
    each = f"{plan.recordings} validation recording{'s' if plan.recordings > 1 else ''}"
    draws = plan.asked.draws
    mean = f"the mean over {draws} trainings" if draws > 1 else "of one training"
    others = "others in each of them" if plan.redrawn else "the same in all of them"
    drawn = f", {others}" if draws > 1 else ""
    steps = ""
    if plan.metric == "accuracy" and plan.recordings < 100:
        steps = f": one of them moves a training's accuracy by up to {1 / plan.recordings:.3g}"
    chief = plan.budget.chief
    best = best_of(fitting(found.rows, plan.budget), chief, higher=plan.higher)
    stopped = sum(bool(row.stopped) for row in found.rows)
    said = [
        f"{plan.title} is {mean}, on {each}{drawn}{steps}.",
        f"{len(found.rows)} trials were trained, {stopped} of them not to their end.",
        f"Over the budget ({str(plan.budget) or 'none'}) and not trained: "
        f"{counted(found.over, 'proposal')}.",
        f"Microseconds: {timed}.",
        f"Chosen: the fewest {chief} within a standard error of the best {plan.title} that keeps "
        f"the budget ({figure(best.metric)} ± {figure(best.error, 2)}, trial {best.row.number}): "
        f"trial {chosen.row.number} in {chosen.number_format}.",
    ]
    if found.importance:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in found.importance.items())
        said.append(
            f"How much did it matter for {plan.title}: {shares} (PED-ANOVA over "
            f"{len(found.rows)} trials; with fewer than 50 take it as a hint)."
        )
    for number, why in found.failed.items():
        said.append(f"Trial {number} failed: {why}")
    return said


def front(plan: Plan, found: Found) -> list[Point]:
    """The points within the budget that no other one beats, in bytes or in microseconds.

    The fewest bytes first.
    """
    whole_ones = fitting(found.rows, plan.budget)
    by = [
        point
        for quantity, _ in FIGURES
        for point in pareto(whole_ones, quantity, higher=plan.higher)
        if math.isfinite(point.costs[quantity])
    ]
    unique = {(p.row.number, p.number_format): p for p in by}
    return sorted(unique.values(), key=lambda p: (p.costs["bytes"], p.row.number))


def chosen_of(plan: Plan, found: Found) -> Point | None:
    """None if no trial that was trained to its end keeps the budget."""
    fit = fitting(found.rows, plan.budget)
    return choose(fit, plan.budget.chief, higher=plan.higher) if fit else None


def write(plan: Plan, found: Found, chosen: Point, timed: str, folder: Path) -> str:
    """Write the files. Returns the table and the sentences."""
    best = front(plan, found)
    best += [] if any(_same(p, chosen) for p in best) else [chosen]
    marked = next(p for p in best if _same(p, chosen))
    said = sentences(plan, found, chosen, timed)
    text = table(plan, best, marked) + "\n" + "".join(f"- {line}\n" for line in said)
    with atomic_write(folder / "search.md") as file:
        file.write(text.encode())
    checkpoint.save_json(folder / "search.json", _values(plan, found, best, chosen, said))
    save_figure(picture(plan, found, marked), folder / "search.png")
    with atomic_write(folder / "chosen.toml") as file:
        file.write(_toml(plan, chosen).encode())
    return text


def _same(a: Point, b: Point) -> bool:
    return (a.row.number, a.number_format) == (b.row.number, b.number_format)


def _toml(plan: Plan, chosen: Point) -> str:
    values = whole(plan, chosen.row.values)
    head = (
        f"# Trial {chosen.row.number} of a search under the budget {str(plan.budget) or 'none'}: "
        f"{net(values)}, {settings(values)}.\n"
        f"# In {chosen.number_format}: {cost(chosen.costs)}, validation {plan.title} "
        f"{measured(chosen)}.\n\n"
    )
    return head + plan.chosen(chosen.row.values).to_toml()


def _values(
    plan: Plan, found: Found, best: Sequence[Point], chosen: Point, said: list[str]
) -> dict[str, Any]:
    values = {
        "plan": plan.to_dict(),
        "trials": [row.to_dict() for row in found.rows],
        "failed": {str(number): why for number, why in found.failed.items()},
        "over_budget": found.over,
        "pareto": [_point(p) for p in best],
        "chosen": _point(chosen),
        "importance": dict(found.importance),
        "said": said,
    }
    return {key: _finite(part) for key, part in values.items()}


def _finite(value: Any) -> Any:
    """JSON has no infinity, which is the time of a net that nothing here runs."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _point(point: Point) -> dict[str, Any]:
    return {
        "trial": point.row.number,
        "format": point.number_format,
        "metric": point.metric,
        "standard_error": point.error,
        **point.costs,
    }


def picture(plan: Plan, found: Found, chosen: Point) -> Figure:
    """The metric over bytes and over microseconds."""
    figure = new_figure(11, 4)
    for ax, (quantity, title) in zip(figure.subplots(1, 2, sharey=True), FIGURES, strict=True):
        _panel(ax, plan, found, chosen, quantity)
        label_axes(ax, "", title, plan.title if quantity == "bytes" else "")
    figure.axes[0].legend(fontsize=8, frameon=False)
    return figure


def _panel(ax: Axes, plan: Plan, found: Found, chosen: Point, quantity: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    every = [p for p in points(found.rows) if math.isfinite(p.costs[quantity])]
    for number_format, marker in (("float32", "o"), ("int8", "s")):
        for stopped, alpha in ((False, 0.9), (True, 0.25)):
            shown = [
                p
                for p in every
                if p.number_format == number_format and bool(p.row.stopped) == stopped
            ]
            ax.scatter(
                [p.costs[quantity] for p in shown],
                [p.metric for p in shown],
                s=18,
                marker=marker,
                color=TRAIN if number_format == "float32" else VALIDATION,
                alpha=alpha,
                linewidths=0,
                label=None if stopped else number_format,
            )
    line = pareto([p for p in every if not p.row.stopped], quantity, higher=plan.higher)
    ax.step(
        [p.costs[quantity] for p in line],
        [p.metric for p in line],
        where="post",
        color="0.5",
        linewidth=1,
        label="no other one is better",
    )
    if math.isfinite(chosen.costs[quantity]):
        place = [chosen.costs[quantity]], [chosen.metric]
        ax.scatter(*place, s=120, facecolors="none", edgecolors="0.1", label="chosen")
    if quantity in plan.budget.limits:
        ax.axvline(plan.budget.limits[quantity], color="0.6", linestyle=":", label="budget")
    values = [p.costs[quantity] for p in every]
    if values and max(values) > NARROW * min(values):
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ax.grid(alpha=0.3)
