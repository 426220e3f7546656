"""`edge-lstm compare CONFIG`: every row on the same splits, each kept as soon as it is done.

OUT/compare.md, compare.json   the table, with the configuration in the JSON
OUT/compare.png   its picture
OUT/anomaly.png   of detectors: every row's scores over time
OUT/lstm/         the LSTM's run, as `edge-lstm train` writes it
OUT/rows/         a file for each finished row, which `resume` takes as it is
OUT/plan.json     the configuration and the data that the rows are of
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from edge_lstm_runtime.errors import ConfigError, TrainingError
from edge_lstm_runtime.files import atomic_write
from edge_lstm_runtime.layers import recurrent_types

from ..config.schema import Config
from ..data.load import load_data, make_spec
from ..data.season import with_season
from ..results import plots
from ..tasks.base import Task, task_named
from ..training import checkpoint
from ..training.claim import claimed
from ..training.progress import Reporter
from .rows import Case, Row
from .table import markdown, picture

# By the type of their layers: "module:function", as a task's `rivals`, because they need PyTorch.
RECURRENT = {kind: f"edge_lstm.compare.recurrent:{kind}" for kind in ("lstm", "gru", "rnn")}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """path: the folder. rows: the LSTM first. titles: of the task's metrics."""

    path: Path
    rows: tuple[Row, ...]
    titles: Mapping[str, str]

    @property
    def markdown(self) -> str:
        return markdown(self.rows, self.titles)


def compare(
    config: Config, out: str | Path, *, resume: bool = False, quiet: bool = False
) -> Comparison:
    """Train or fit every model of the task and write the table.

    out: a new or empty folder. With `resume` it is the folder of a comparison of the same
    configuration and data, and its finished rows are kept. Raises ConfigError for more than one
    device, for [model] with a `type` or `layers`, and for [prune], [distill] and [quantize], and
    TrainingError for a folder that can't be used.
    """
    out = Path(out)
    _check_model(config)
    for key in ("devices", "num_nodes"):
        if (count := getattr(config.train, key)) != 1:
            raise ConfigError(
                f"[train] {key} = {count}: a comparison trains on one; add --set train.{key}=1"
            )
    with claimed(out, "comparison", ("plan.json",), resume=resume):
        return _compared(config, out, Reporter(quiet=quiet))


def _compared(config: Config, out: Path, reporter: Reporter) -> Comparison:
    splits = load_data(config)
    spec = make_spec(config, splits)
    config, _ = with_season(config, spec, splits)
    plan = {"config": config.to_dict(), "fingerprint": splits.fingerprint}
    same_plan(out / "plan.json", plan, lambda old: Config.from_dict(old, config.folder).to_dict())
    (out / "rows").mkdir(exist_ok=True)
    case = Case(config, spec, splits, out, reporter)
    task = task_named(config.model.task)
    wanted = _rows(task)
    rows = []
    for k, (name, make) in enumerate(wanted.items()):
        file = out / "rows" / f"{name}.json"
        if (row := _finished(file)) is not None:
            case.reporter.line(f"row {k + 1}/{len(wanted)}: {row.title}, kept")
        else:
            case.reporter.line(f"row {k + 1}/{len(wanted)}: {name}")
            from ..threads import one  # imports torch

            with one():
                row = make(case)
            checkpoint.save_json(file, row.to_dict())
        rows.append(row)
    found = Comparison(out, tuple(rows), task.titles)
    plots.save_figure(picture(rows, task.titles), out / "compare.png")
    if config.model.alarms:
        from . import detectors

        plots.save_figure(detectors.picture(case, rows), out / plots.ANOMALY_FIGURE)
    with atomic_write(out / "compare.md") as stream:
        stream.write(found.markdown.encode())
    checkpoint.save_json(
        out / "compare.json", {"config": config.to_dict(), "rows": [row.to_dict() for row in rows]}
    )
    return found


def _check_model(config: Config) -> None:
    """Raise ConfigError if the recurrent rows would differ in more than their types."""
    first = next(iter(RECURRENT))
    rows = ", ".join(RECURRENT)
    if config.model.layers is not None:
        raise ConfigError(
            f"[model] layers: a comparison trains {rows} of one size, one after the other; "
            "give `hidden_size` in place of the layers"
        )
    if config.model.type != first:
        raise ConfigError(
            f"[model] type = {config.model.type!r}: a comparison trains {rows}, each as a row; "
            "remove the key"
        )
    for section in ("prune", "distill", "quantize"):
        if getattr(config, section) is not None:
            raise ConfigError(
                f"[{section}]: a comparison trains {rows} of one size in one way, and the section "
                "would change a single row; remove it"
            )


def _rows(task: Task) -> dict[str, Callable[[Case], Row]]:
    """Name -> the function that makes the row."""
    types = recurrent_types() if task.networks else []
    cells = {kind: function for kind, function in RECURRENT.items() if kind in types}
    return {name: resolve_name(function) for name, function in {**cells, **task.rivals}.items()}


def same_plan(
    file: Path, plan: dict[str, Any], current: Callable[[dict[str, Any]], dict[str, Any]] = dict
) -> None:
    """Write the plan if there is none. Raises TrainingError if there is another one.

    plan: the configuration and the data of the rows. current: makes a configuration of an earlier
    version one of this version.
    """
    before = read_json(file)
    if before is None:
        checkpoint.save_json(file, plan)
        return
    changed = [
        f"the configuration's {text}"
        for text in checkpoint.differences(current(before["config"]), plan["config"])
    ]
    if not changed and before["fingerprint"] != plan["fingerprint"]:
        changed = ["the data has changed since it was started"]
    if changed:
        raise TrainingError(
            f"{file.parent}: can't resume this comparison: {'; '.join(changed)}; "
            "undo the change, or name another folder"
        )


def _finished(file: Path) -> Row | None:
    values = read_json(file)
    return None if values is None else Row.from_dict(values)


def read_json(file: Path) -> dict[str, Any] | None:
    try:
        values: dict[str, Any] = checkpoint.read_json(file)
    except FileNotFoundError:
        return None
    return values
