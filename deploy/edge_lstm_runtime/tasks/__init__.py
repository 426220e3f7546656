"""The meaning of a model's answers.

Each task is a file of this folder. No other file of the runtime names one.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..errors import BundleError
from ..registry import Registry

if TYPE_CHECKING:
    from ..inputs import Inputs
    from ..model.network import Network

require = functools.partial(checks.require, "answer")
check_names = functools.partial(checks.check_names, "answer")
check_numbers = functools.partial(checks.check_numbers, "answer")
json_of = json.JSONEncoder(allow_nan=False).encode


class Quantiles(NamedTuple):
    """Outputs that stand side by side, `levels` at a time: the quantiles of one value.

    The first step is output = median + width * (output - median), the last one is to sort them.

    levels: how many. median: the place of the median among them. width: (O,) without unit.
    """

    levels: int
    median: int
    width: NDArray[np.float64]


class Scaling(NamedTuple):
    """answer = offset + scale * output, plus the current value of the channel `residual`.

    offset, scale: (O,) raw units. residual: (O,) indices of channels, or None.
    units: (O,) of the answers that are on a logarithmic scale up to here, and 0 for the others.
    Such an answer becomes unit * (exp(answer) - 1). None if there is none.
    low, high: (O,) raw units, the bounds of an answer, infinite if there is none, or None.
    quantiles: or None.
    """

    offset: NDArray[np.float64]
    scale: NDArray[np.float64]
    residual: NDArray[np.int64] | None
    units: NDArray[np.float64] | None = None
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    quantiles: Quantiles | None = None

    @property
    def linear(self) -> bool:
        """Whether offset, scale and residual are all there is to it."""
        return all(part is None for part in self[3:])


@dataclasses.dataclass(frozen=True)
class Answer(ABC):
    """The meaning of the network's outputs. A task's own dataclass derives from this."""

    task: ClassVar[str]
    logits: ClassVar[bool] = False  # the outputs are a logit for each of the names
    model: ClassVar[str] = "model"  # a model with such answers, in words
    imported: ClassVar[bool] = False  # the net was trained by another tool
    several: ClassVar[str] = "answers"  # the answers, in words
    text: ClassVar[bool] = False  # the answer is the next character of a text

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """(O,) a name for each output."""

    @property
    def size(self) -> int:
        """O, the number of outputs."""
        return len(self.names)

    def check(self, inputs: Inputs, network: Network) -> None:
        """Raise BundleError if the other parts of the specification don't fit this one."""
        if network.outputs != self.size:
            raise BundleError(
                f"network: layer {network.output!r}: has {network.outputs} outputs, "
                f"and the answer {self.size}"
            )

    @property
    def make(self) -> str:
        """How a bundle of the model is made, in words. Some parts need real samples."""
        return "import it with --samples" if self.imported else "export it"

    def scaling(self, inputs: Inputs) -> Scaling | None:
        """From outputs to answers in raw units. None if the outputs are the answer."""
        return None

    @abstractmethod
    def describe(self, answer: NDArray[Any]) -> dict[str, Any]:
        """An answer (O,) as a JSON object."""

    def texts(self, answers: NDArray[Any]) -> list[str]:
        """The members of the object that describes each answer, in JSON. answers: (n, O)"""
        return [json_of(self.describe(answer))[1:-1] for answer in answers]


@dataclasses.dataclass(frozen=True)
class ClassAnswer(Answer):
    """A logit for each class. classes: their names, in the order of the outputs."""

    targets: ClassVar[tuple[str, ...]] = ()  # it answers no quantities
    logits = True
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        check_names("classes", self.classes, 2)

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes

    def describe(self, answer: NDArray[Any]) -> dict[str, Any]:
        """The label, and the probability of every class."""
        shares = probabilities(answer)
        return {
            "label": self.classes[int(answer.argmax())],
            "probabilities": dict(zip(self.classes, shares.round(6).tolist(), strict=True)),
        }

    def texts(self, answers: NDArray[Any]) -> list[str]:
        if type(self).describe is not ClassAnswer.describe:
            return super().texts(answers)
        names = [json_of(name) for name in self.classes]
        shares = ", ".join(name.replace("%", "%%") + ": %r" for name in names)
        text = f'"label": %s, "probabilities": {{{shares}}}'
        best = answers.argmax(axis=-1).tolist()
        rows = probabilities(answers).round(6).tolist()
        return [text % (names[k], *row) for k, row in zip(best, rows, strict=True)]


def probabilities(logits: NDArray[Any]) -> NDArray[np.float64]:
    """The softmax of (..., O) logits."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return shares


TASKS = Registry(__name__, "edge_lstm.answers", "task", marker="ANSWER", unknown=BundleError)


def text_tasks() -> str:
    """The tasks of models that go on with a text, in words."""
    return " or ".join(repr(name) for name in TASKS.names() if TASKS.load(name).ANSWER.text)


def answer_from(values: object) -> Answer:
    """The inverse of `model.spec.plain_answer`. Raises BundleError."""
    require(isinstance(values, Mapping), f"is {values!r}, expected an object with a task")
    assert isinstance(values, Mapping)
    task = values.get("task")
    if not isinstance(task, str) or task not in TASKS:
        require(False, f"task is {task!r}, expected one of {', '.join(TASKS.names())}")
    kind: type[Answer] = TASKS.load(str(task)).ANSWER
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "task"}
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(given) - set(fields))
    require(not unknown, f"has unknown keys {unknown}; task {task!r} has {list(fields)}")
    needed = {k for k, f in fields.items() if f.default is dataclasses.MISSING}
    lacking = sorted(needed - set(given))
    require(not lacking, f"lacks {lacking}, which task {task!r} needs")
    return kind(**given)
