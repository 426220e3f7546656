"""ONNX Runtime, where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, BackendUnavailableError
from ..model.spec import ModelSpec
from .base import Backend, Facts, State, WholeSequence, check_state

if TYPE_CHECKING:
    from ..model.bundle import Bundle

MEMBER = "model.onnx"
FACTS = Facts("float32", needs="ONNX Runtime: pip install onnxruntime", libraries=("onnxruntime",))


class OnnxBackend(Backend):
    """Runs either graph form of one step; inputs and outputs are taken by name (docs/bundle.md)."""

    name = "onnx"

    def __init__(self, spec: ModelSpec, model: bytes):
        self._layers, self._hidden = spec.num_layers, spec.hidden_size
        states = [f"{part}{k}" for k in range(self._layers) for part in "hc"]
        self._inputs = [f"{s}_in" for s in states]
        self._outputs = ["y", *(f"{s}_out" for s in states)]
        self._session, shapes = _open(model, {"x", *self._inputs}, set(self._outputs))
        self._x_shape, self._state_shape = shapes["x"], shapes["h0_in"]
        self.reset()

    def reset(self) -> None:
        self._feed: dict[str, NDArray[Any]] = {name: np.zeros(self._state_shape, np.float32) for name in self._inputs}

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        try:
            self._feed["x"] = np.asarray(features, np.float32).reshape(self._x_shape)
            y, *states = self._session.run(self._outputs, self._feed)
        except Exception as e:
            raise BackendError(f"ONNX Runtime failed in this step: {e}") from e
        self._feed.update(zip(self._inputs, states, strict=True))
        result: NDArray[Any] = y.ravel()
        return result

    @property
    def state(self) -> State:
        parts = [self._feed[name].ravel() for name in self._inputs]
        return np.stack(parts[0::2]), np.stack(parts[1::2])

    @state.setter
    def state(self, value: State) -> None:
        h, c = check_state(value, (self._layers, self._hidden))
        for k in range(self._layers):
            for part, array in (("h", h), ("c", c)):
                self._feed[f"{part}{k}_in"] = array[k].astype(np.float32).reshape(self._state_shape)


class BidirectionalOnnxBackend(WholeSequence):
    """Runs the graph of a whole sequence: x (steps, 1, F) in, y (steps, O) out."""

    name = "onnx"

    def __init__(self, spec: ModelSpec, model: bytes):
        self._hidden = spec.hidden_size
        self._session, _ = _open(model, {"x"}, {"y"})

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        try:
            outputs: NDArray[Any] = self._session.run(["y"], {"x": np.asarray(features, np.float32)[:, None]})[0]
        except Exception as e:
            raise BackendError(f"ONNX Runtime failed on a sequence of {len(features)} steps: {e}") from e
        return outputs


def _open(model: bytes, inputs: set[str], outputs: set[str]) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """The session and the shapes of its inputs by name. Raises BackendUnavailableError, or BackendError for another graph than expected."""
    try:
        import onnxruntime
    except ImportError as e:
        raise BackendUnavailableError("backend 'onnx' needs ONNX Runtime; run: pip install onnxruntime") from e
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a net this small only loses time by handing work to other threads
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # ONNX Runtime's own derive from Exception alone
        raise BackendError(f"ONNX Runtime did not take model.onnx: {e}") from e
    shapes = {i.name: tuple(i.shape) for i in session.get_inputs()}
    found = {o.name for o in session.get_outputs()}
    if set(shapes) != inputs or found != outputs:
        raise BackendError(f"model.onnx has inputs {sorted(shapes)} and outputs {sorted(found)}, expected those of docs/bundle.md")
    return session, shapes


def onnx_backend(spec: ModelSpec, model: bytes) -> Backend:
    """The backend of a model of one direction or both."""
    return BidirectionalOnnxBackend(spec, model) if spec.bidirectional else OnnxBackend(spec, model)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    if MEMBER not in bundle.members:
        raise BackendUnavailableError(bundle.absent(MEMBER))
    return onnx_backend(bundle.spec, bundle.member(MEMBER))
