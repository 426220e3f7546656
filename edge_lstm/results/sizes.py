"""Before and after: size, work and metric of a run's models on its way to a compact one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Splits
from ..network import CompactNet
from ..stateful import stateful, units_of
from ..tasks import TASKS
from .answers import answers
from .columns import aligned
from .metrics import evaluate, figure, headline, title_of

Row = dict[str, Any]


def row(title: str, spec: ModelSpec, found: Mapping[str, Mapping[str, Any]]) -> Row:
    """One model, ready for JSON. bytes: of float32 weights.

    found: its metrics on "val" and "test", as of `evaluate`.
    """
    _, *shown = TASKS.load(spec.answer.task).Section.MONITORS  # but the loss
    network = spec.network
    units = [units_of(layer) for layer in stateful(network)]
    sizes = {
        "units": ", ".join(map(str, sorted(set(units)))),
        "parameters": network.parameters,
        "bytes": 4 * network.parameters,
        "macs": network.macs_per_step,
    }
    return {
        "model": title,
        **sizes,
        **{part: {name: metrics[name] for name in shown} for part, metrics in found.items()},
    }


def measure(
    title: str,
    spec: ModelSpec,
    weights: Mapping[str, Any],
    splits: Splits,
    season: int | None = None,
) -> Row:
    """weights: the state of a CompactNet, which answers the validation and the test split here."""
    net = CompactNet(spec)
    net.load_state_dict(weights)
    found = {part: getattr(splits, part) for part in ("val", "test")}
    return row(
        title,
        spec,
        {part: evaluate(spec, s, answers(net, s), season=season) for part, s in found.items()},
    )


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of text: a heading and a line for each row."""
    metric = headline(rows[0]["test"])
    lines = [("", "units", "parameters", "bytes", "MACs/step", f"{title_of(metric)} val", "test")]
    for r in rows:
        numbers = [_units(r), *(f"{r[name]:,}" for name in ("parameters", "bytes", "macs"))]
        lines.append((r["model"], *numbers, *(figure(r[part][metric]) for part in ("val", "test"))))
    return aligned(lines, range(1, len(lines[0])))


def _units(r: Row) -> str:
    """Runs of edge-lstm 0.1 have one `hidden_size`."""
    return str(r["units"] if "units" in r else r["hidden_size"])


def sentence(rows: Sequence[Row]) -> str:
    """For a report: each model's size and chief metric on the test split."""
    metric = headline(rows[0]["test"])
    parts = []
    for r in rows:
        size = f"{_units(r)} units, {r['parameters']:,} parameters"
        parts.append(f"{r['model']}: {size}, {figure(r['test'][metric])}")
    return f"On the way to this size, {title_of(metric)} on the test split: {'; '.join(parts)}."
