"""The interface of a backend, and the facts that a backend states.

A backend runs the network alone: normalized features in, the network's outputs out, the state kept
inside. It is one module, a file of this folder or a module that another package names under the
entry-point group "edge_lstm.backends". It has

    FACTS: Facts                                                (see below)
    open_backend(bundle, *, artifact=None) -> Backend
    open_streams(bundle, streams, *, artifact=None) -> Backend  only if it answers N streams
                                                                together: N before F, O, and the
                                                                sizes of the states

FACTS is read whenever backends are listed. So the module imports its requirements, such as a
vendor's library, inside these functions only.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BackendError, BackendUnavailableError

if TYPE_CHECKING:
    from ..model.network import Network
    from ..model.spec import ModelSpec

CLOSED = "this session is closed; open a new one"
State = Mapping[str, NDArray[Any]]  # by name, such as "lstm0.h", in the network's order
NumberFormat = Literal["float64", "float32", "float16", "int8", "the artifact's"]
Place = Literal["cpu", "device", "simulator"]
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts about a backend that hold on every machine.

    Every list of backends and every decision between backends comes from these.

    number_format  the format that it computes in. Its answers must keep that format's tolerance
    runs_on        the CPU, a device beside it, or a simulator of a device
    needs          its requirements and how to get them, in words. "" if it needs NumPy only
    artifact       the `kind` of the bundle's converted models that it runs. None if it runs none
    graph          whether it runs a graph of the bundle
    is_reference   whether the others are measured against it
    promise        the manifest's entry with its tolerance, if the export measures the backend
                   itself and there is no artifact. "auto" does not take it without that entry
    libraries      Python packages, and files by their absolute path. "auto" measures anew if one
                   has changed
    variables      environment variables that change its speed
    desktop        what it reads of a bundle that `edge-lstm slim` takes out, in words
    devices        files that a service must open to run it, as DeviceAllow of systemd has them
    threads        whether several streams may be divided over threads: its steps release Python's
                   lock, and a stream's answers don't depend on how many others there are

    >>> import edge_lstm_runtime as rt
    >>> facts = rt.Facts("float32", needs="a camera", libraries=("camera",))
    >>> facts.auto, facts.timed  # "auto" may take it; it needs no time limit
    (True, False)
    """

    number_format: NumberFormat
    runs_on: Place = "cpu"
    needs: str = ""
    artifact: str | None = None
    graph: bool = False
    is_reference: bool = False
    promise: str = ""
    libraries: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    desktop: str = ""
    devices: tuple[str, ...] = ()
    threads: bool = False

    @property
    def auto(self) -> bool:
        """Whether "auto" may take it."""
        return not self.is_reference and self.runs_on != "simulator"

    @property
    def timed(self) -> bool:
        """Whether it is opened under a time limit: it runs a model of the bundle, no code of ours.

        A simulator converts the model first, in a process with limits of its own.
        """
        return (self.graph or self.artifact is not None) and self.runs_on != "simulator"


class Stepper(Protocol):
    """`Session.step` in C."""

    def step(self, x: Any, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """It passes on what it does not know, and every call from another thread than its owner."""

    def own(self, ident: int, /) -> None:
        """The thread that may call it, by its identifier. 0: none."""


class Backend(ABC):
    """One network with its state. A new backend is as after `reset()`.

    Derive from it for a backend of your own (docs/backends.md). Only `reset`, `step` and `state`
    are needed. It may also have `run`, `reset_streams`, `interrupt` and `close`, and `answerer`,
    `rows_answerer` and `stepper` if it does the pre- and post-processing itself.

    >>> import numpy as np, edge_lstm_runtime as rt
    >>> class Sum(rt.Backend):
    ...     name = "sum"
    ...     total = 0.0
    ...     def reset(self):
    ...         self.total = 0.0
    ...     def step(self, features):  # (F,) -> (O,)
    ...         self.total += features.sum()
    ...         return np.array([self.total], np.float32)
    ...     @property
    ...     def state(self):
    ...         return {"total": np.array([self.total])}
    ...     @state.setter
    ...     def state(self, value):
    ...         self.total = float(value["total"][0])
    >>> backend = Sum()
    >>> backend.step(np.ones(2)), backend.state
    (array([2.], dtype=float32), {'total': array([2.])})
    >>> backend.reset()
    >>> backend.run(np.ones((3, 2))).tolist()  # (steps, F) -> (steps, O)
    [[2.0], [4.0], [6.0]]
    >>> spec = rt.load("mine.edge").spec  # these answer raw samples, or are None as here
    >>> backend.answerer(spec, np.zeros(3)), backend.rows_answerer(spec, np.zeros(3))
    (None, None)
    >>> print(backend.stepper(spec, np.zeros(3), otherwise=print))
    None
    >>> backend.reset_streams([0])  # for a backend of several streams
    >>> backend.interrupt()
    >>> backend.close()
    """

    name: str
    dtype: type[np.floating[Any]] = np.float32
    at_once: int = 1  # steps that `run` computes together, though it takes any number

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    @abstractmethod
    def reset(self) -> None:
        """Set every state to its start, which is zero for most networks."""

    def reset_streams(self, streams: Sequence[int]) -> None:
        """Set the states of these streams to their start, on a backend for N streams.

        The other streams answer as if nothing had happened. This one needs no more than a `state`
        that restores all of a stream. Raises BackendError for a stream that is not there.
        """
        before = dict(self.state)
        chosen = {name: checked_streams(streams, len(part)) for name, part in before.items()}
        self.reset()
        for name, start in self.state.items():
            before[name][chosen[name]] = start[chosen[name]]
        self.state = before

    @abstractmethod
    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (F,) -> outputs: (O,), a new array."""

    def answerer(
        self,
        spec: ModelSpec,  # noqa: ARG002
        last: NDArray[np.float64],  # noqa: ARG002
    ) -> Callable[[ArrayLike], NDArray[Any] | None] | None:
        """A function from a raw sample (C,) to the answer (O,), for a fast step.

        It does the pre- and post-processing too. For a sample that can't be used, it returns None
        and changes nothing. last: (C,), the Preprocessor's, which it reads and writes.
        Returns None if the backend has no such function.
        """
        return None

    def rows_answerer(
        self,
        spec: ModelSpec,  # noqa: ARG002
        last: NDArray[np.float64],  # noqa: ARG002
    ) -> Callable[[NDArray[np.float64]], NDArray[Any]] | None:
        """The same for raw samples (steps, C), float64 and contiguous -> answers (n, O).

        The answers are those of `answerer` to the bit. They end before the first sample that can't
        be used. Returns None if the backend has no such function.
        """
        return None

    def stepper(
        self,
        spec: ModelSpec,  # noqa: ARG002
        last: NDArray[np.float64],  # noqa: ARG002
        otherwise: Callable[..., NDArray[Any]],  # noqa: ARG002
    ) -> Stepper | None:
        """What takes the place of `Session.step`: a raw sample (C,) -> the answer (O,).

        It is that of `answerer` to the bit. last: (C,), as there.
        otherwise: `Session.step`, which answers or raises for all that the other doesn't know.
        Returns None if the backend has nothing of this kind.
        """
        return None

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (steps, F) -> outputs: (steps, O), the same as `step` for each row."""
        if not len(features):
            return self._no_outputs(features)
        return np.stack([self.step(row) for row in features])

    def _no_outputs(self, features: NDArray[Any]) -> NDArray[Any]:
        """The outputs of no rows: (0, O). Only a step says how many there are."""
        before = self.state
        outputs = self.step(np.zeros(features.shape[1:], self.dtype))
        self.state = before
        return outputs[None][:0]

    @property
    @abstractmethod
    def state(self) -> State:
        """Copies, by name, in order: (size,) each, (N, size) for N streams. Assigning restores it.

        Raises BackendError for other names or shapes, and for a value that is not finite.
        """

    @state.setter
    @abstractmethod
    def state(self, value: State) -> None: ...

    def interrupt(self) -> None:  # noqa: B027  (most backends run nothing that may never end)
        """Make a step that another thread waits for end soon, if that is possible.

        The backend can't be used afterwards.
        """

    def close(self) -> None:  # noqa: B027  (most backends hold nothing that needs releasing)
        """Release all that the backend holds. It can't be used afterwards. May be called twice."""


class WholeSequence(Backend):
    """A network that needs whole sequences: each `run` takes one, from the zero state.

    Nothing is carried, so there is no state.
    """

    def reset(self) -> None:
        """There is nothing to set back."""

    def step(self, features: NDArray[Any]) -> NDArray[Any]:  # noqa: ARG002
        """Always raises BackendError."""
        raise BackendError(
            "this model is bidirectional: it reads a whole sequence from both ends, so there is no "
            "answer to a single step; use run with all rows of a sequence"
        )

    @abstractmethod
    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (steps, F), one whole sequence -> outputs: (steps, O)."""

    @property
    def state(self) -> State:
        return {}

    @state.setter
    def state(self, value: State) -> None:
        check_state(value, {})


def refuse_opaque(facts: Facts, network: Network) -> None:
    """Raise BackendUnavailableError if the network is a graph, and the backend runs layers."""
    if not network.opaque or facts.graph or facts.artifact is not None:
        return
    if facts.is_reference:
        advice = "the golden answers in the bundle are the reference's, computed at its import"
    else:
        advice = "use a backend that runs graphs, onnx, or a converted model on its NPU"
    raise BackendUnavailableError(f"{network.opaque}; {advice}")


def into(out: NDArray[Any] | None, values: NDArray[Any]) -> NDArray[Any]:
    """The values, in `out` if that is given."""
    if out is None:
        return values
    out[...] = values
    return out


def checked_streams(streams: Sequence[int], count: int) -> list[int]:
    """The numbers of some streams. Raises BackendError unless each is from 0 to `count` - 1."""
    for k in streams:
        if not 0 <= k < count:
            raise BackendError(f"stream {k} is not there; expected 0 to {count - 1}")
    return list(streams)


def check_state(value: object, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """The state as arrays, in the order of `shapes`.

    Raises BackendError for other names or shapes, and for a value that is not finite in float32.
    """
    if not isinstance(value, Mapping) or set(value) != set(shapes):
        found = (
            f"{sorted(value, key=str)}"
            if isinstance(value, Mapping)
            else f"a {type(value).__name__}"
        )
        raise BackendError(f"state is {found}; expected arrays named {list(shapes)}")
    arrays = {}
    for name, shape in shapes.items():
        try:
            array = np.asarray(value[name])
        except (TypeError, ValueError) as e:
            raise BackendError(f"state {name!r} is no array: {e}") from e
        if array.shape != shape or array.dtype.kind != "f":
            raise BackendError(
                f"state {name!r} is {array.dtype}{array.shape}, "
                f"expected floating point of shape {shape}"
            )
        if not (np.abs(array) <= _FLOAT32_MAX).all():
            raise BackendError(f"state {name!r} has values that are not finite in float32")
        arrays[name] = array
    return arrays
