"""A training's trackers. One that fails is told and left, and the training goes on.

RUN/trackers.json has the key of each tool's run, so that a resumed training goes on there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_lstm_runtime.errors import ConfigError, EdgeLstmError, TrainingError
from edge_lstm_runtime.installed import pip_install
from edge_lstm_runtime.shown import in_a_line

from ..config.flat import flat
from . import checkpoint
from .history import tag
from .progress import Reporter
from .trackers import TRACKERS, Status, Tracker

FILE = "trackers.json"
FILES = (checkpoint.CONFIG, checkpoint.METRICS, checkpoint.HISTORY, checkpoint.BEST)


def check_trackers(names: Iterable[str]) -> None:
    """Raises ConfigError for an unknown name, and for a tool that is not installed."""
    for name in names:
        for package in TRACKERS.load(name).TRACKER.needs:
            if importlib.util.find_spec(package) is None:
                raise ConfigError(
                    f"tracker {name}: {package} is not installed; run: {pip_install(name)}"
                )


class Tracking:
    """The trackers of a run's first training. Its other stages are in its files.

    out: the run's folder. resume: go on in the tools' runs of before, those that there are.
    """

    def __init__(self, names: Sequence[str], out: Path, reporter: Reporter, *, resume: bool):
        self.reporter = reporter
        self._names = [*names]
        self._out = out
        self._keys = _keys(out) if resume else {}
        self._open: dict[str, Tracker] = {}

    def __enter__(self) -> Tracking:
        return self

    def open(self) -> None:
        """Raises TrainingError if a tracker can't be opened: nothing has been trained yet."""
        for name in self._names:
            try:
                self._open[name] = TRACKERS.load(name).TRACKER(self._out.name, self._keys.get(name))
            except EdgeLstmError:
                raise
            except Exception as e:
                raise TrainingError(
                    f"tracker {name}: {in_a_line(str(e))}; mend it, or train without it"
                ) from e

    def begin(self, parameters: Mapping[str, Any]) -> None:
        """Once the folder is there. parameters: nested."""
        if not self._open:
            return
        values = dict(flat(parameters))
        fresh = [name for name in self._names if name not in self._keys]
        self._each(lambda one: one.parameters(values), fresh)
        keys = {name: one.key for name, one in self._open.items()}
        checkpoint.save_json(self._out / FILE, {**self._keys, **keys})

    def epoch(self, row: Mapping[str, float]) -> None:
        """row: of history.csv."""
        figures = {tag(name): value for name, value in row.items() if name != "epoch"}
        self._each(lambda one: one.epoch(int(row["epoch"]), figures))

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """metrics: of metrics.json."""
        figures = _figures(metrics)
        files = [self._out / name for name in FILES if (self._out / name).exists()]
        files += sorted(self._out.glob("*.png"))
        self._each(lambda one: one.finish(figures, files))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        stopped = kind is not None and not issubclass(kind, Exception)
        status: Status = "finished" if kind is None else "stopped" if stopped else "failed"
        self._each(lambda one: one.close(status))

    def _each(self, call: Callable[[Tracker], None], names: Iterable[str] | None = None) -> None:
        for name in [*self._open] if names is None else names:
            if (one := self._open.get(name)) is None:
                continue
            try:
                call(one)
            except Exception as e:  # of any tool, and of the network
                del self._open[name]
                self.reporter.line(
                    f"tracker {name}: {in_a_line(str(e))}; the training goes on without it"
                )
                with contextlib.suppress(Exception):
                    one.close("failed")


def _keys(out: Path) -> dict[str, str]:
    """Tracker -> key. A damaged file begins new runs."""
    with contextlib.suppress(FileNotFoundError, TrainingError):
        return dict(checkpoint.read_json(out / FILE))
    return {}


def _figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of each part, by names that every tool takes: "test never reset/accuracy"."""
    found = {}
    for part, values in metrics.items():
        each = values if isinstance(values, Mapping) else {}
        for key, value in each.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                name = f"{part}/{key}".replace(", state", "")
                found[re.sub(r"[^\w ./-]", "_", name)] = float(value)
    return found
