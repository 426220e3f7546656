"""The base backend: float32, NumPy only, each layer's own fast step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..layers import FEATURES
from ..model.network import Network
from ..model.spec import ModelSpec
from .base import (
    Backend,
    Facts,
    State,
    WholeSequence,
    check_state,
    checked_streams,
    refuse_opaque,
)

if TYPE_CHECKING:
    from ..model.bundle import Bundle

Float32 = NDArray[np.float32]
FACTS = Facts("float32", variables=("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"))


class NumpyBackend(Backend):
    """A step allocates the answer only. All else is in buffers that are made once.

    The vectors are in one buffer, [x, 1, y0, 1, y1, ...]. The input of a layer, the 1 for its bias
    and its output are one slice of it, so that a chain of layers copies nothing.
    """

    name = "numpy"

    def __init__(
        self, spec: ModelSpec, weights: Mapping[str, Float32], batch: tuple[int, ...] = ()
    ) -> None:
        """batch: a last dimension of every buffer, for streams that are computed together."""
        network = spec.network
        *inner, last = network.layers
        starts, joins, size = _places(network)
        self._vectors = np.ones((size, *batch), np.float32)
        self._x = self._vectors[: network.features]
        self._state: dict[str, Float32] = {}
        self._steps: list[Callable[[], None]] = []
        for layer in (*inner, last):
            inputs, outputs = network.sizes[layer.name]
            start = starts[layer.name]
            vector = self._vectors[start : start + inputs + 1 + outputs]
            if layer.name in joins:
                self._steps.append(self._join(vector, joins[layer.name]))
            own = network.own(layer, weights)
            if layer is last:
                self._answer, state = layer.answer(own, vector, inputs, batch)
            else:
                step, state = layer.fast(own, vector, inputs, batch)
                self._steps.append(step)
            self._state |= {f"{layer.name}.{name}": view for name, view in state.items()}
        self._state = {name: self._state[name] for name in network.state}
        # As a column if there are streams.
        self._initial = {
            name: array.reshape(-1, *(1 for _ in batch))
            for name, array in network.initial_state().items()
        }
        self.reset()

    def _join(self, vector: Float32, places: list[slice]) -> Callable[[], None]:
        """A step that copies a layer's inputs to the beginning of its vector."""
        pairs = []
        at = 0
        for place in places:
            source = self._vectors[place]
            pairs.append((vector[at : at + len(source)], source))
            at += len(source)

        def step() -> None:
            for to, source in pairs:
                to[:] = source

        return step

    def reset(self) -> None:
        for name, part in self._state.items():
            part[:] = self._initial[name]

    def step(self, features: Float32) -> Float32:
        self._x[:] = features
        for step in self._steps:
            step()
        return self._answer()

    @property
    def state(self) -> State:
        return {name: part.copy() for name, part in self._state.items()}

    @state.setter
    def state(self, value: State) -> None:
        shapes = {name: part.shape for name, part in self._state.items()}
        for name, array in check_state(value, shapes).items():
            self._state[name][:] = array


def _places(network: Network) -> tuple[dict[str, int], dict[str, list[slice]], int]:
    """The start of each layer's vector [inputs, 1, outputs], the slices to copy there, the size.

    A layer that reads only the one before it shares that one's output. Any other layer has its
    inputs copied.
    """
    outputs = {FEATURES: slice(0, network.features)}
    size = network.features
    starts: dict[str, int] = {}
    joins: dict[str, list[slice]] = {}
    for layer in network.layers:
        inputs, count = network.sizes[layer.name]
        only = outputs[layer.inputs[0]]
        if len(layer.inputs) == 1 and only.stop == size:
            starts[layer.name] = only.start
        else:
            joins[layer.name] = [outputs[name] for name in layer.inputs]
            starts[layer.name] = size
            size += inputs
        outputs[layer.name] = slice(size + 1, size + 1 + count)
        size += 1 + count
    return starts, joins, size


class NumpyStreams(NumpyBackend):
    """N streams as N columns. One matrix product a layer serves all, so weights are read once."""

    def __init__(self, spec: ModelSpec, weights: Mapping[str, Float32], streams: int):
        super().__init__(spec, weights, (streams,))

    def step(self, features: Float32) -> Float32:
        """features: (N, F) -> outputs: (N, O)."""
        return super().step(features.T).T

    def reset_streams(self, streams: Sequence[int]) -> None:
        for name, part in self._state.items():
            part[:, checked_streams(streams, part.shape[1])] = self._initial[name]

    @property
    def state(self) -> State:
        """(N, size) each."""
        return {name: part.T.copy() for name, part in self._state.items()}

    @state.setter
    def state(self, value: State) -> None:
        shapes = {name: part.T.shape for name, part in self._state.items()}
        for name, array in check_state(value, shapes).items():
            self._state[name][:] = array.T


class WholeNumpyBackend(WholeSequence):
    """The same steps over a whole sequence, layer by layer."""

    name = "numpy"

    def __init__(self, spec: ModelSpec, weights: Mapping[str, Float32]):
        self._network = spec.network
        self._layers = [
            layer.whole_run(spec.network.own(layer, weights), spec.network.sizes[layer.name][0])
            for layer in spec.network.layers
        ]

    def run(self, features: Float32) -> Float32:
        values = {FEATURES: np.asarray(features, np.float32)}
        for layer, run in zip(self._network.layers, self._layers, strict=True):
            parts = [values[name] for name in layer.inputs]
            values[layer.name] = run(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))
        return values[self._network.layers[-1].name]


def numpy_backend(spec: ModelSpec, weights: Mapping[str, Float32]) -> Backend:
    """The backend of any model.

    Raises BackendUnavailableError for a network that is a graph.
    """
    refuse_opaque(FACTS, spec.network)
    return WholeNumpyBackend(spec, weights) if spec.whole else NumpyBackend(spec, weights)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    return numpy_backend(bundle.spec, bundle.weights)


def open_streams(bundle: Bundle, streams: int, *, artifact: str | None = None) -> NumpyStreams:
    return NumpyStreams(bundle.spec, bundle.weights, streams)
