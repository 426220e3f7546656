"""The differences between tasks besides their keys and facts.

Nothing here needs torch or matplotlib before a method is called, because a configuration is read
without them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Many
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.sections import TrainConfig
from ..data.recordings import Sequence, Splits
from ..training.losses import Loss
from ..training.tally import Tally
from . import MEASURED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Answers = Many[NDArray[Any]]  # per sequence (T, O): logits, else raw units
Metrics = Mapping[str, Any]  # as `evaluate` gives them


class Carried(NamedTuple):
    """A figure of the test split as one stream, and the same with a reset at each sequence."""

    words: str
    now: str
    reset: str


class Detail(NamedTuple):
    """A table that splits the metrics up. rows: a cell for each of `head`."""

    caption: str
    head: Many[str]
    rows: Many[Many[str | float | None]]


class Task(ABC):
    """A task's module has one instance, TASK.

    figure        the file of the test split's figure
    caption       of that figure in a report
    titles        the metrics that a report shows, with their titles
    printed       the metrics that commands print
    simple        the `baselines` of its metrics, with their titles in a report
    rivals        rows of `edge-lstm compare`: by name, "module:function", because they need heavy
                  libraries. The function makes a `compare.rows.Row` of a `Case`
    quick         those of them that take a second, for `edge-lstm data`
    networks      whether that table has a network of each type of recurrent layers too
    """

    figure: ClassVar[str]
    caption: ClassVar[str] = "Test split, float32"
    titles: ClassVar[Mapping[str, str]] = {}
    printed: ClassVar[tuple[str, ...]] = ()
    simple: ClassVar[Mapping[str, str]] = {}
    rivals: ClassVar[Mapping[str, str]] = {}
    quick: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[bool] = True

    def fitted(self, spec: ModelSpec, splits: Splits, monitor: str) -> Any:  # noqa: ARG002
        """The answer with the numbers that the training split gives it.

        monitor: of [train]. Raises DataError, and ConfigError for a monitor that doesn't fit.
        """
        return spec.answer

    @abstractmethod
    def targets(
        self, spec: ModelSpec, sequence: Sequence
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The outputs that the network should have, and (T,) the steps at which they are known.

        They are a class of the whole sequence, (), a class at each step, (T,), or numbers at each
        step, (T, O). An unknown one is 0.
        """

    def nothing_known(self, spec: ModelSpec) -> str:  # noqa: ARG002
        """The words for sequences without any target."""
        return "no step has a known target"

    @abstractmethod
    def loss(self, config: TrainConfig, spec: ModelSpec) -> Loss:
        """config: [train], with this task's keys."""

    def calibrated(
        self,
        spec: ModelSpec,
        sequences: Many[Sequence],  # noqa: ARG002
        outputs: Callable[[], Answers],  # noqa: ARG002
    ) -> Any:
        """The answer with the numbers that the validation split gives it after the training.

        outputs: gives those of the network, (T, O) for each of the sequences, which it has not
        learned.
        """
        return spec.answer

    def tally(self, spec: ModelSpec, sequences: Many[Sequence]) -> Tally:  # noqa: ARG002
        """The metrics of the validation split after each epoch, those of `Section.MONITORS`."""
        return Tally()

    @abstractmethod
    def evaluate(
        self, spec: ModelSpec, sequences: Many[Sequence], answers: Answers, season: int | None
    ) -> dict[str, Any]:
        """The metrics, ready for JSON, those of `Section.MONITORS` but the loss among them.

        answers: one for each of the sequences, at least one, all finite.
        season: steps of the data's period, None if there is none. Raises DataError.
        """

    def baselines(
        self,
        spec: ModelSpec,  # noqa: ARG002
        train: Many[Sequence],  # noqa: ARG002
        sequences: Many[Sequence],  # noqa: ARG002
    ) -> dict[str, Any]:
        """The metrics of models that the training split alone gives, by the names of `simple`.

        They are measured on the sequences, and are `baselines` of the metrics.
        """
        return {}

    @abstractmethod
    def draw(
        self, spec: ModelSpec, sequences: Many[Sequence], answers: Answers, metrics: Metrics
    ) -> Figure:
        """The figure of the test split. metrics: of these answers."""

    @abstractmethod
    def closing(self, test: Metrics, carried: Metrics | None) -> list[str]:
        """The lines that `edge-lstm train` prints at its end.

        carried: the metrics of a state that is never reset, if they were measured.
        """

    def detail(self, test: Metrics) -> Detail | None:  # noqa: ARG002
        """The metrics of each class, or of each target and step ahead. None if there is one."""
        return None

    def decided(self, spec: ModelSpec, answer: NDArray[Any]) -> NDArray[Any]:  # noqa: ARG002
        """answer: (T, O) of a recording -> what it says: numbers (T, O), or names of classes."""
        return answer

    def chances(self, spec: ModelSpec, answer: NDArray[Any]) -> NDArray[np.float64]:  # noqa: ARG002
        """answer: (T, O) -> probabilities, (O,) or (T, O). Raises ConfigError if it has none."""
        raise ConfigError(
            f"task {spec.answer.task!r} answers with numbers, which have no probabilities; use "
            "predict"
        )

    def score(self, metrics: Metrics) -> float:  # noqa: ARG002
        """The one figure of its metrics, higher is better. Raises ConfigError if it has none."""
        raise ConfigError("the task has no single score; use evaluate")

    def verdict(self, test: Metrics) -> list[str]:
        """The first sentences of a report."""
        return str(test["verdict"]).splitlines()

    @abstractmethod
    def change(self, found: Metrics, float32: Metrics) -> str:
        """How fewer bits change the metrics, for a report."""

    def worse(self, found: Metrics, float32: Metrics) -> list[float]:  # noqa: ARG002
        """By how many percent, or points of a share, each of the metrics that `change` tells is
        worse. Below 0 it is better. If there is none, no verdict follows from the metrics."""
        return []

    @abstractmethod
    def carried(self, reset: Metrics, carried: Metrics) -> tuple[list[Carried], bool]:
        """How a state that is never reset changes the metrics, and whether they are worse."""


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """(..., O) -> (..., O), each row a probability."""
    exact = logits.astype(np.float64)
    exact = np.exp(exact - exact.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = exact / exact.sum(axis=-1, keepdims=True)
    return shares


def task_of(spec: ModelSpec) -> Task:
    """The task that a model's answer is of. Raises ConfigError if the trainer knows none."""
    return task_named(spec.answer.task)


def task_named(name: str) -> Task:
    """Raises ConfigError if the trainer knows no such task."""
    task: Task = MEASURED.load(name).TASK
    return task
