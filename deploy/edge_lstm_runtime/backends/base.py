"""What a backend is, and what it says about itself.

A backend runs the network alone: normalised features in, the head's outputs out, the state kept inside. It is one module,
a file of this folder or of a package that names it under the entry-point group "edge_lstm.backends". It has

    FACTS: Facts                                                     (below)
    open_backend(bundle, *, artifact=None) -> Backend
    open_streams(bundle, streams, *, artifact=None) -> Backend       if it answers N streams together:
                                                                     N before F, O, and (layers, H)

FACTS is read when backends are listed, so the module imports what it needs, such as a vendor's library, in these functions alone.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BackendError

if TYPE_CHECKING:
    from ..model.spec import ModelSpec

State = tuple[NDArray[Any], NDArray[Any]]
NumberFormat = Literal["float64", "float32", "float16", "int8", "the artifact's"]
Place = Literal["cpu", "device", "simulator"]
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is true of a backend on every machine. Each list of backends and each decision between them comes from these.

    number_format  that it computes in; its answers are held to that format's tolerance
    runs_on        the CPU, a device beside it, or a simulator of a device
    needs          in words, with how to get it; "" for nothing but NumPy
    artifact       the `kind` of the bundle's converted models that it runs; None if it runs none
    is_reference   it is what the others are measured against
    libraries      Python packages, and files by their absolute path: "auto" measures anew if one has changed
    variables      of the environment, that change how fast it is
    """

    number_format: NumberFormat
    runs_on: Place = "cpu"
    needs: str = ""
    artifact: str | None = None
    is_reference: bool = False
    libraries: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def auto(self) -> bool:
        """Whether "auto" may take it."""
        return not self.is_reference and self.runs_on != "simulator"

    @property
    def exact(self) -> bool:
        """Whether it is plain code in float32 or more on the CPU, which needs no check each time it is opened."""
        return self.runs_on == "cpu" and self.number_format in ("float64", "float32")


class Backend(ABC):
    """One network with its state. A new backend starts from the zero state, as after `reset()`."""

    name: str
    dtype: type[np.floating[Any]] = np.float32
    at_once: int = 1  # steps that it answers together where `run` brings as many; any number is right

    @abstractmethod
    def reset(self) -> None:
        """Set h and c of every layer to zero."""

    @abstractmethod
    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (F,) -> outputs: (O,), a new array."""

    def answerer(self, spec: ModelSpec, last: NDArray[np.float64]) -> Callable[[ArrayLike], NDArray[Any] | None] | None:  # noqa: ARG002
        """A backend may do the pre- and post-processing of a step as well, faster than it is done for it.

        last: (C,), the Preprocessor's, read and written. Returns what takes a raw sample and gives the answer, or None, with nothing
        changed, for a sample that can't be used; None where the backend has nothing of the kind.
        """
        return None

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (steps, F) -> outputs: (steps, O); the same as `step` for each row."""
        return np.stack([self.step(row) for row in features])

    @property
    @abstractmethod
    def state(self) -> State:
        """(h, c), (layers, H) each: copies. Assigning restores it; BackendError if the shapes are wrong or a value is not finite."""

    @state.setter
    @abstractmethod
    def state(self, value: State) -> None: ...

    def close(self) -> None:  # noqa: B027  (most backends hold nothing that needs releasing)
        """Release what the backend holds; it can't be used afterwards. May be called twice."""


class WholeSequence(Backend):
    """A bidirectional network: each `run` takes one whole sequence, every direction of every layer from the zero state; nothing is carried.

    Its state is (h, c) of no layers, (0, H) each.
    """

    _hidden: int

    def reset(self) -> None:
        """There is nothing to set back."""

    def step(self, features: NDArray[Any]) -> NDArray[Any]:  # noqa: ARG002
        """Raises BackendError, always."""
        raise BackendError(
            "this model is bidirectional: it reads a whole sequence from both ends, so there is no answer to a single step; "
            "use run with all rows of a sequence"
        )

    @abstractmethod
    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (steps, F), one whole sequence -> outputs: (steps, O)."""

    @property
    def state(self) -> State:
        return np.empty((0, self._hidden), self.dtype), np.empty((0, self._hidden), self.dtype)

    @state.setter
    def state(self, value: State) -> None:
        check_state(value, (0, self._hidden))


def check_state(value: State, shape: tuple[int, ...]) -> State:
    """(h, c) as arrays, or BackendError."""
    try:
        h, c = (np.asarray(part) for part in value)
    except (TypeError, ValueError) as e:
        raise BackendError(f"state must be the pair (h, c) of arrays, not {type(value).__name__}: {e}") from e
    for label, part in (("h", h), ("c", c)):
        if part.shape != shape or part.dtype.kind != "f":
            raise BackendError(f"state {label} is {part.dtype}{part.shape}, expected floating point of shape {shape}")
        if not (np.abs(part) <= _FLOAT32_MAX).all():
            raise BackendError(f"state {label} has values that are not finite in float32")
    return h, c
