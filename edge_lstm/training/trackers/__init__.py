"""Where a training is tracked: one file for each tool, with `TRACKER`, a class of `Tracker`.

A file imports its tool inside of the class, because the names are listed without it. Another
package adds one under the entry-point group "edge_lstm.trackers".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from edge_lstm_runtime.registry import Registry

TRACKERS = Registry(
    package="edge_lstm.training.trackers",
    group="edge_lstm.trackers",
    kind="tracker",
    marker="TRACKER",
)
Status = Literal["finished", "failed", "stopped"]
PROJECT = "edge-lstm"


class Tracker(ABC):
    """One run of the tool.

    needs: the packages that it imports, by their module names. The extra has the tracker's name.

    Each method may raise whatever the tool raises.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __init__(self, name: str, key: str | None):
        """name: of the run. key: of the tool's run to go on with, None for a new one."""

    @property
    @abstractmethod
    def key(self) -> str:
        """With which a resumed training goes on in this run."""

    @abstractmethod
    def parameters(self, values: Mapping[str, Any]) -> None:
        """Of a new run: the configuration and the sizes, by names such as "train.epochs"."""

    @abstractmethod
    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """number: from 1. figures: by names such as "loss/val"."""

    @abstractmethod
    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """At the end. figures: by names such as "test/accuracy". files: of the run's folder."""

    @abstractmethod
    def close(self, status: Status) -> None:
        """The last call."""
