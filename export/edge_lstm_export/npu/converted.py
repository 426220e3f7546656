"""What a vendor's converter has made of one form of a model."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Backend

Weights = Mapping[str, NDArray[np.float32]]


class Form(Protocol):
    """A form in which a model is offered to a converter. What else it holds, its vendor knows.

    name: such as "cell". steps: those that it takes at once. label: for names of files, the name
    and the steps if there are several.
    """

    @property
    def name(self) -> str: ...

    @property
    def steps(self) -> int: ...

    @property
    def label(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class Job:
    """A form to be tried for a target and scheme.

    steps: if it takes several at once, it becomes an artifact of its own. Of the forms of one step
    the best is kept. slow: it takes much longer than others, so it begins first.
    """

    target: str
    scheme: str
    form: str
    steps: int = 1
    slow: bool = False


class Converted(ABC):
    """A converted model, with its simulator open until `close`.

    cycles: of a run, as the converter estimates them. None if it gives none.
    on_cpu: the number of operators that don't run on the NPU.
    """

    @property
    @abstractmethod
    def cycles(self) -> int | None: ...

    @property
    @abstractmethod
    def on_cpu(self) -> int: ...

    @abstractmethod
    def backend(self, weights: Weights) -> Backend:
        """The simulator, for any number of steps, the state carried.

        weights: canonical, of the model that it was made from. If it takes several steps at once,
        NumPy answers the steps that fill no chunk.
        """

    @abstractmethod
    def close(self) -> None:
        """End the simulator. May be called twice."""


@dataclasses.dataclass(frozen=True)
class Traced:
    """A tensor inside, and what it should be: (steps, size) each."""

    name: str
    found: NDArray[Any]
    reference: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Packed:
    """What a bundle gets of a converted model.

    model     the content of its member, TARGET-SCHEME.KIND
    facts     its vendor's own keys of its row in the manifest. `recipe` must have `io`, with `form`
              (the form's name) and, if they are several, `steps`. The report shows these, if there
              are any: `operators` (rows of id, operator, dtype, target: NPU or CPU, outputs,
              cycles, traffic_kb, name), `memory_kb` (internal, weight), and `estimates` (rows
              of what, value and source, as texts). The source says who estimated or measured it
    members   further members, such as the graph that it was made from. They are shared: members of
              the same name have the same content
    beside    further members that a board reads with the model, such as a program for a backend
              that needs no NPU. The row names them as `beside`, and `edge-lstm slim` keeps them
    versions  of the tools: name -> version
    """

    model: bytes
    facts: Mapping[str, Any]
    members: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    beside: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
