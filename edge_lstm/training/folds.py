"""Cross-validation by group: a run for each fold, whose groups are its test split.

OUT/fold0, fold1, ...  runs, as `train` writes them
OUT/folds.json         the held-out groups and the metrics of each, with mean and deviation
OUT/folds.md           the same as a table
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.files import atomic_write

from ..config.schema import Config
from ..data import kept
from ..data.splits import class_counts, dealt
from ..results.columns import markdown
from ..results.metrics import figure, titled
from ..results.run import Run
from ..tasks.base import task_named
from . import checkpoint
from .claim import claimed
from .progress import Reporter
from .train import train

Figures = Mapping[str, float | None]  # by their titles


def train_folds(
    config: Config, folds: int, out: str | Path, *, resume: bool = False, quiet: bool = False
) -> str:
    """Train all folds, and return the table.

    folds: at least 2. out: a new or empty folder. With `resume` it is the folder of an interrupted
    cross-validation, whose finished folds are kept.
    Raises ConfigError for a split that draws no groups, and DataError for too few groups.
    """
    out = Path(out)
    configs = fold_configs(config, folds)
    with claimed(out, "cross-validation", ("fold0", "folds.json"), resume=resume):
        return _trained(configs, out, quiet=quiet)


def _trained(configs: list[Config], out: Path, *, quiet: bool) -> str:
    reporter = Reporter(quiet=quiet)
    runs = []
    for k, one in enumerate(configs):
        reporter.line(f"fold {k + 1} of {len(configs)}: {_held_out(one)} held out")
        folder = out / f"fold{k}"
        begun = (folder / checkpoint.CONFIG).exists()
        runs.append(train(one, folder, resume=begun, quiet=quiet))
    found = _summary(runs)
    table = _table(found)
    checkpoint.save_json(out / "folds.json", found)
    with atomic_write(out / "folds.md") as file:
        file.write(f"{table}\n".encode())
    return table


def fold_configs(config: Config, folds: int) -> list[Config]:
    """The configuration of each fold, whose `test` names its groups.

    Every group is held out once. The numbers of groups differ by one at most.
    """
    if folds < 2:
        raise ConfigError(f"--folds {folds}: expected at least 2")
    split = config.data.split
    drawn = f"[data.split] by = {split.by!r}: folds are of whole groups"
    if split.by != "group":
        raise ConfigError(f"{drawn}; expected by = 'group'")
    for key in ("train", "val", "test"):
        if isinstance(getattr(split, key), tuple):
            which = "a fraction" if key == "val" else "no such key"
            raise ConfigError(
                f"[data.split] {key} names groups, which folds draw; expected {which}"
            )
    for key in ("devices", "num_nodes"):
        if (count := getattr(config.train, key)) != 1:
            raise ConfigError(
                f"[train] {key} = {count}: folds are trained on one; add --set train.{key}=1"
            )
    recordings, _ = kept.recordings(config.data, config.asked)
    groups = list(dict.fromkeys(r.group for r in recordings))
    if len(groups) < max(folds, 3):
        few = f"{len(groups)} groups are too few for {folds} folds"
        raise DataError(f"{few}; expected at least {max(folds, 3)}; lower --folds, or set `group`")
    np.random.default_rng(split.seed).shuffle(groups)
    sizes = [len(groups) // folds + (k < len(groups) % folds) for k in range(folds)]
    counts = class_counts(recordings) if split.stratify else None
    return [_changed(config, tuple(sorted(test))) for test in dealt(groups, sizes[:-1], counts)]


def _changed(config: Config, test: tuple[str, ...]) -> Config:
    split = config.data.split.model_copy(update={"test": test})
    data = config.data.model_copy(update={"split": split})
    return config.model_copy(update={"data": data})


def _held_out(config: Config) -> str:
    test = config.data.split.test
    assert isinstance(test, tuple)
    return ", ".join(map(str, test)) if len(test) <= 5 else f"{len(test)} groups"


def _summary(runs: list[Run]) -> dict[str, Any]:
    task = task_named(runs[0].config.model.task)
    rows = [titled(run.metrics["test"], task.titles) for run in runs]
    folds = [
        {
            "run": run.path.name,
            "test": run.config.to_dict()["data"]["split"]["test"],
            "metrics": row,
        }
        for run, row in zip(runs, rows, strict=True)
    ]
    found: dict[str, Any] = {"folds": folds, **_spread(rows)}
    baselines = {
        title: [titled(run.metrics["test"]["baselines"][name], task.titles) for run in runs]
        for name, title in task.simple.items()
        if all(name in run.metrics["test"].get("baselines", {}) for run in runs)
    }
    found["baselines"] = {title: _spread(each) for title, each in baselines.items()}
    return found


def _spread(rows: list[dict[str, float | None]]) -> dict[str, Figures]:
    """Mean and standard deviation (of a sample) over the folds. None if a fold has no figure."""
    mean: dict[str, float | None] = {}
    deviation: dict[str, float | None] = {}
    for title in dict.fromkeys(title for row in rows for title in row):
        values = [value for row in rows if (value := row.get(title)) is not None]
        whole = len(values) == len(rows)
        mean[title] = statistics.mean(values) if whole else None
        deviation[title] = statistics.stdev(values) if whole else None
    return {"mean": mean, "deviation": deviation}


def _table(found: Mapping[str, Any]) -> str:
    titles = [title for title, value in found["mean"].items() if _shown(found, title, value)]
    lines = [["fold", *titles], ["---", *["---:"] * len(titles)]]
    for fold in found["folds"]:
        lines.append([fold["run"], *(figure(fold["metrics"][title]) for title in titles)])
    for name, each in {"mean ± sd": found, **found["baselines"]}.items():
        pairs = ((each["mean"].get(t), each["deviation"].get(t)) for t in titles)
        lines.append([name, *(f"{figure(m)} ± {figure(d, 2)}" for m, d in pairs)])
    return markdown(lines).rstrip("\n")


def _shown(found: Mapping[str, Any], title: str, mean: float | None) -> bool:
    return mean is not None or any(fold["metrics"][title] is not None for fold in found["folds"])
