"""What a search says: a line for each trial, and the table of the nets that no other one beats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..results.columns import markdown
from ..results.metrics import figure
from .plan import Plan
from .rows import Point, Row, points
from .space import Values


def net(values: Values) -> str:
    """A net in words. values: with those that are fixed."""
    layers = f"{values['num_layers']} x " if values["num_layers"] > 1 else ""
    return f"{values['type']}, {layers}{values['hidden_size']} units"


def settings(values: Values) -> str:
    found = [f"rate {values['learning_rate']:.2g}", f"decay {values['weight_decay']:.2g}"]
    if values["window"] is not None:
        found.append(f"window {values['window']}")
    if values["transforms"] != "configured":
        found.append(f"with {values['transforms']}")
    return ", ".join(found)


def whole(plan: Plan, values: Values) -> Values:
    return {**plan.space.fixed, **values}


def trial_line(plan: Plan, row: Row) -> str:
    """One line on a trial that was trained."""
    values = whole(plan, row.values)
    metrics = "; ".join(f"{p.number_format} {measured(p)}, {cost(p.costs)}" for p in points([row]))
    ended = f", {row.stopped}" if row.stopped else ""
    spent = f"{row.epochs} epochs, {row.seconds:.3g} s{ended}"
    return f"trial {row.number}: {net(values)}, {settings(values)}: {plan.title} {metrics}; {spent}"


def measured(point: Point) -> str:
    """ "0.9583 (0.875 to 1)"."""
    low = min(point.draws)
    high = max(point.draws)
    spread = f" ({figure(low)} to {figure(high)})" if len(point.draws) > 1 else ""
    return figure(point.metric) + spread


def cost(costs: Mapping[str, float]) -> str:
    return f"{costs['bytes']:,.0f} bytes, {microseconds(costs)}"


def microseconds(costs: Mapping[str, float]) -> str:
    return f"{costs['us']:.3g} us" if math.isfinite(costs["us"]) else "not timed"


def table(plan: Plan, found: Sequence[Point], chosen: Point | None) -> str:
    """In Markdown: a line for each point, the chosen one marked."""
    head = ["trial", "net", "format", plan.title, "draws", "bytes", "MACs", "us", "settings"]
    lines = [head, ["---:", "---", "---", "---:", "---", "---:", "---:", "---:", "---"]]
    for point in found:
        values = whole(plan, point.row.values)
        mark = "**" if point is chosen else ""
        us = point.costs["us"]
        lines.append(
            [
                f"{mark}{point.row.number}{mark}",
                f"{mark}{net(values)}{mark}",
                point.number_format,
                figure(point.metric),
                ", ".join(map(figure, point.draws)),
                f"{point.costs['bytes']:,.0f}",
                f"{point.costs['macs']:,.0f}",
                f"{us:.3g}" if math.isfinite(us) else "–",
                settings(values),
            ]
        )
    return markdown(lines)
