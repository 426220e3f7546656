"""The engines of a search: one file each, with ENGINE.

They are light, because a command looks for them before anything heavy is loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from edge_lstm_runtime.errors import MissingDependencyError
from edge_lstm_runtime.registry import Registry

if TYPE_CHECKING:
    from ..costs import Costs
    from ..plan import Plan
    from ..rows import Row
    from ..space import Values


@dataclasses.dataclass(frozen=True)
class Job:
    """A search as an engine gets it.

    folder: for the trials. trials: how many are to be trained. storage: of Optuna, "" for a file in
    the folder. address: of a cluster, "" for one on this machine. start: values to try first. say:
    tells a line.
    """

    plan: Plan
    folder: Path
    costs: Costs
    trials: int
    workers: int
    storage: str
    address: str
    start: Values
    say: Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Found:
    """rows: the trials that were trained. failed: number -> why a training failed. over: how many
    proposals were over the budget, and not trained. importance: of each dimension for the metric,
    together 1, {} if there are too few trials.
    """

    rows: list[Row]
    failed: Mapping[int, str]
    over: int
    importance: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Engine:
    """package, extra: what it needs. function: "module:function", which takes a Job."""

    package: str
    extra: str
    function: str

    def check(self) -> None:
        """Raises MissingDependencyError."""
        if find_spec(self.package) is None:
            raise MissingDependencyError(self.package, self.extra)

    def run(self, job: Job) -> Found:
        found: Found = resolve_name(self.function)(job)
        return found


ENGINES = Registry(__name__, "edge_lstm.search_engines", "engine", "ENGINE")
