"""ONNX Runtime, if it is installed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, BackendUnavailableError
from ..model.spec import ModelSpec
from ..shown import in_a_line
from .base import Backend, Facts, State, WholeSequence, check_state

if TYPE_CHECKING:
    from ..model.bundle import Bundle

MEMBER = "model.onnx"
CELL = "cell.onnx"  # of a network with a layer that ONNX has no operator for
SILENT = 4  # fatal errors alone
FACTS = Facts(
    "float32",
    needs="ONNX Runtime: pip install onnxruntime",
    graph=True,
    libraries=("onnxruntime",),
)


class OnnxBackend(Backend):
    """Runs a graph of one step: x and the states in, y and the states out, in this order."""

    name = "onnx"

    def __init__(self, spec: ModelSpec, model: bytes, member: str = MEMBER):
        """member: its name in the bundle, for messages."""
        self._states = spec.network.state
        self._initial = spec.network.initial_state()
        self._session, shapes, self._outputs = _open(model, member, 1 + len(self._states))
        self._options = _run_options()
        self._inputs = list(shapes)
        self._x, *states = shapes.items()
        if (stated := spec.network.graph_inputs) and stated != shapes:
            raise BackendError(
                f"{member} has inputs {_listed(shapes)}, and the bundle's network states "
                f"{_listed(stated)}; import the net again"
            )
        self._shapes = dict(zip(self._states, (shape for _, shape in states), strict=True))
        for name, shape in self._shapes.items():
            # A size may also be a name, or None.
            if not all(type(n) is int for n in shape) or math.prod(shape) != self._states[name]:
                raise BackendError(
                    f"{member} has a state of {shape!a}, "
                    f"expected {self._states[name]} values for {name}"
                )
        self.reset()

    def reset(self) -> None:
        self._feed: dict[str, NDArray[Any]] = {}
        self.state = self._initial

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        name, shape = self._x
        try:
            self._feed[name] = np.asarray(features, np.float32).reshape(shape)
            y, *states = self._session.run(self._outputs, self._feed, self._options)
        except Exception as e:
            raise BackendError(f"ONNX Runtime failed in this step: {_words(e)}") from e
        self._feed.update(zip(self._inputs[1:], states, strict=True))
        result: NDArray[Any] = y.ravel()
        return result

    def interrupt(self) -> None:
        self._options.terminate = True  # of every node, in a loop too

    @property
    def state(self) -> State:
        arrays = [self._feed[name].ravel().copy() for name in self._inputs[1:]]
        return dict(zip(self._states, arrays, strict=True))

    @state.setter
    def state(self, value: State) -> None:
        checked = check_state(value, {name: (size,) for name, size in self._states.items()})
        for place, (name, array) in zip(self._inputs[1:], checked.items(), strict=True):
            self._feed[place] = array.astype(np.float32).reshape(self._shapes[name])


class WholeOnnxBackend(WholeSequence):
    """Runs the graph of a whole sequence: x (steps, 1, F) in, y (steps, O) out."""

    name = "onnx"

    def __init__(self, model: bytes, member: str = MEMBER):
        self._session, shapes, self._outputs = _open(model, member, 1)
        self._options = _run_options()
        (self._x,) = shapes

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        rows = np.asarray(features, np.float32)[:, None]
        try:
            outputs: NDArray[Any] = self._session.run(
                self._outputs, {self._x: rows}, self._options
            )[0]
        except Exception as e:
            raise BackendError(
                f"ONNX Runtime failed on a sequence of {len(features)} steps: {_words(e)}"
            ) from e
        return outputs

    def interrupt(self) -> None:
        self._options.terminate = True


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name!a} {tuple(shape)!a}" for name, shape in shapes.items())


def _words(error: Exception) -> str:
    """The error in one line. It may have names of the graph in it."""
    return in_a_line(" ".join(str(error).split()))


def _run_options() -> Any:
    """They can end a run. Their messages, which name the graph's own nodes, come as errors only."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = SILENT
    return options


def _open(
    model: bytes, member: str, count: int
) -> tuple[Any, dict[str, tuple[int, ...]], list[str]]:
    """The session, the shapes of its inputs by name, and the names of its outputs, in order.

    Raises BackendUnavailableError if ONNX Runtime is not installed, and BackendError if it refuses
    the graph, or if there are not `count` inputs and outputs.
    """
    try:
        import onnxruntime
    except ImportError as e:
        raise BackendUnavailableError(
            "backend 'onnx' needs ONNX Runtime; run: pip install onnxruntime"
        ) from e
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a small net only loses time by using other threads
    options.inter_op_num_threads = 1
    options.log_severity_level = SILENT
    try:
        # Without the fallback it prints the error, and tries the same once more.
        session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        shapes = {i.name: tuple(i.shape) for i in session.get_inputs()}
        outputs = [o.name for o in session.get_outputs()]
    except Exception as e:  # ONNX Runtime's errors have no other base class
        raise BackendError(f"ONNX Runtime did not take {member}: {_words(e)}") from e
    if len(shapes) != count or len(outputs) != count:
        raise BackendError(
            f"{member} has inputs {list(shapes)!a} and outputs {outputs!a}, "
            f"expected {count} of each, as docs/bundle.md lists them"
        )
    return session, shapes, outputs


def onnx_backend(spec: ModelSpec, model: bytes, member: str = MEMBER) -> Backend:
    """The backend of any model. member: its name in the bundle, for messages."""
    return WholeOnnxBackend(model, member) if spec.whole else OnnxBackend(spec, model, member)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    for member in (MEMBER, CELL):
        if member in bundle.members:
            return onnx_backend(bundle.spec, bundle.member(member), member)
        if member in bundle.left_out:
            raise BackendUnavailableError(bundle.absent(member))
    raise BackendUnavailableError(bundle.absent(MEMBER))
