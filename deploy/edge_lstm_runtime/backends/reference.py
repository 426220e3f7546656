"""The float64 reference: the LSTM written like its equations. Every backend is judged by it; it is never optimised.

Equations: Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000, as in torch.nn.LSTM's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..layers.layout import gate
from ..model.spec import ModelSpec
from .base import Backend, Facts, WholeSequence, check_state

if TYPE_CHECKING:
    from ..model.bundle import Bundle

Float64 = NDArray[np.float64]
FACTS = Facts("float64", is_reference=True)


def sigmoid(a: Float64) -> Float64:
    return 0.5 * (1.0 + np.tanh(0.5 * a))  # the logistic function, without overflow for large negative a


def lstm_cell(
    x: Float64, h: Float64, c: Float64, W_x: Float64, W_h: Float64, b: Float64, record: dict[str, Float64] | None = None
) -> tuple[Float64, Float64]:
    """One step of one layer. x: (inputs,), h and c: (H,) -> the new h and c, (H,) each. record: takes what lies between."""
    a = x @ W_x + h @ W_h + b  # (4 H,)
    i = sigmoid(gate(a, "i"))
    f = sigmoid(gate(a, "f"))
    g = np.tanh(gate(a, "g"))
    o = sigmoid(gate(a, "o"))
    fc = f * c
    ig = i * g
    c = fc + ig
    tanh_c = np.tanh(c)
    h = o * tanh_c
    if record is not None:
        record.update(i=i, f=f, g=g, o=o, fc=fc, ig=ig, tanh_c=tanh_c)
    return h, c


class Reference(Backend):
    """features (F,) -> outputs (O,), all in float64. For a model of one direction; `reference` gives the right one for any."""

    name = "reference"
    dtype = np.float64

    def __init__(self, spec: ModelSpec, weights: Mapping[str, NDArray[Any]]):
        self._spec = spec
        self._weights = _float64(weights)
        self.reset()

    def reset(self) -> None:
        shape = (self._spec.num_layers, self._spec.hidden_size)
        self._h, self._c = np.zeros(shape), np.zeros(shape)

    def step(self, features: NDArray[Any], records: list[dict[str, Float64]] | None = None) -> Float64:
        """records: one for each layer, which takes what lies between, as of `lstm_cell`."""
        x = np.asarray(features, np.float64)
        for k in range(self._spec.num_layers):
            W_x, W_h, b = (self._weights[f"layer{k}.{name}"] for name in ("W_x", "W_h", "b"))
            self._h[k], self._c[k] = lstm_cell(x, self._h[k], self._c[k], W_x, W_h, b, records[k] if records else None)
            x = self._h[k]
        return x @ self._weights["head.W"] + self._weights["head.b"]

    @property
    def state(self) -> tuple[Float64, Float64]:
        return self._h.copy(), self._c.copy()

    @state.setter
    def state(self, value: tuple[NDArray[Any], NDArray[Any]]) -> None:
        h, c = check_state(value, self._h.shape)
        self._h, self._c = h.astype(np.float64), c.astype(np.float64)


class BidirectionalReference(WholeSequence):
    """features (steps, F) of a whole sequence -> outputs (steps, O), all in float64."""

    name = "reference"
    dtype = np.float64

    def __init__(self, spec: ModelSpec, weights: Mapping[str, NDArray[Any]]):
        self._hidden, self._layers = spec.hidden_size, spec.num_layers
        self._weights = _float64(weights)

    def run(self, features: NDArray[Any]) -> Float64:
        x = np.asarray(features, np.float64)  # (steps, inputs)
        for k in range(self._layers):
            forward = self._direction(x, f"layer{k}")
            backward = self._direction(x[::-1], f"layer{k}.reverse")[::-1]
            x = np.concatenate([forward, backward], axis=1)  # (steps, 2 H)
        return x @ self._weights["head.W"] + self._weights["head.b"]

    def _direction(self, x: Float64, prefix: str) -> Float64:
        """x: (steps, inputs) in the order in which they are read -> every h, (steps, H)."""
        W_x, W_h, b = (self._weights[f"{prefix}.{name}"] for name in ("W_x", "W_h", "b"))
        hidden = np.empty((len(x), self._hidden))
        h, c = np.zeros(self._hidden), np.zeros(self._hidden)
        for t in range(len(x)):
            h, c = lstm_cell(x[t], h, c, W_x, W_h, b)
            hidden[t] = h
        return hidden


def reference(spec: ModelSpec, weights: Mapping[str, NDArray[Any]]) -> Backend:
    """The reference of a model of one direction or both."""
    return BidirectionalReference(spec, weights) if spec.bidirectional else Reference(spec, weights)


def _float64(weights: Mapping[str, NDArray[Any]]) -> dict[str, Float64]:
    return {name: np.asarray(array, np.float64) for name, array in weights.items()}


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    return reference(bundle.spec, bundle.weights)
