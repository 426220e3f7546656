"""The float64 reference: the equations of every layer's cell, never optimized.

Every backend is judged by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..layers import Array, Layer
from ..layers.ops import NUMPY
from ..model.spec import ModelSpec
from .base import Backend, Facts, State, WholeSequence, check_state, refuse_opaque

if TYPE_CHECKING:
    from ..model.bundle import Bundle

Float64 = NDArray[np.float64]
FACTS = Facts("float64", is_reference=True)


class Reference(Backend):
    """features (F,) -> outputs (O,), all in float64. `reference` opens one for any model.

    spec, weights: of a bundle. It is the backend that all others are measured against.

    >>> import numpy as np, edge_lstm_runtime as rt
    >>> bundle = rt.read_bundle("mine.edge")
    >>> exact = rt.Reference(bundle.spec, bundle.weights)
    >>> exact
    Reference(3 features -> lstm 8 -> dense 2)
    >>> outputs = exact.step(np.zeros(3))
    >>> outputs.shape, str(outputs.dtype)
    ((2,), 'float64')
    >>> list(exact.state)
    ['lstm0.h', 'lstm0.c']
    >>> exact.reset()
    """

    name = "reference"
    dtype = np.float64

    def __init__(self, spec: ModelSpec, weights: Mapping[str, NDArray[Any]]):
        self._network = spec.network
        self._weights = _float64(spec, weights)
        self.reset()

    def __repr__(self) -> str:
        layers = " -> ".join(layer.title for layer in self._network.layers)
        return f"{type(self).__name__}({self._network.features} features -> {layers})"

    def reset(self) -> None:
        """Set every state to its start."""
        self._state: State = self._network.initial_state(np.float64)

    def step(self, features: NDArray[Any]) -> Float64:
        """features: (F,) -> outputs: (O,) float64."""
        x = np.asarray(features, np.float64)
        y: Float64
        y, self._state = self._network.step(NUMPY, self._product, self._weights, x, self._state)
        return y

    def _product(self, layer: Layer, name: str, v: Array) -> Array:
        return v @ self._weights[layer.name][name]

    @property
    def state(self) -> State:
        """Copies, by name, (size,) float64 each. Assigning restores them."""
        return {name: array.copy() for name, array in self._state.items()}

    @state.setter
    def state(self, value: State) -> None:
        shapes = {name: (size,) for name, size in self._network.state.items()}
        checked = check_state(value, shapes)
        self._state = {name: array.astype(np.float64) for name, array in checked.items()}


class WholeReference(WholeSequence):
    """features (steps, F) of a whole sequence -> outputs (steps, O), all in float64."""

    name = "reference"
    dtype = np.float64

    def __init__(self, spec: ModelSpec, weights: Mapping[str, NDArray[Any]]):
        self._network = spec.network
        self._weights = _float64(spec, weights)

    def run(self, features: NDArray[Any]) -> Float64:
        def product(layer: Layer, name: str, v: Array) -> Array:
            return v @ self._weights[layer.name][name]

        xs = np.asarray(features, np.float64)
        found: Float64 = self._network.whole_values(product, self._weights, xs)[
            self._network.output
        ]
        return found


def reference(spec: ModelSpec, weights: Mapping[str, NDArray[Any]]) -> Backend:
    """The reference of any model.

    Raises BackendUnavailableError for a network that is a graph.
    """
    refuse_opaque(FACTS, spec.network)
    return WholeReference(spec, weights) if spec.whole else Reference(spec, weights)


def _float64(spec: ModelSpec, weights: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, Float64]]:
    """The weights by layer, then by the layer's own names."""
    exact = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    return {layer.name: spec.network.own(layer, exact) for layer in spec.network.layers}


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    return reference(bundle.spec, bundle.weights)
