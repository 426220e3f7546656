"""The base backend: float32, NumPy alone, one fused gate product per layer and step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..layout import fused
from ..spec import ModelSpec
from . import Backend, State, check_state

if TYPE_CHECKING:
    from ..bundle import Bundle

Float32 = NDArray[np.float32]


class NumpyBackend(Backend):
    """Only the answer is allocated in a step; everything else lives in buffers that are made once.

    The vectors stand in one buffer, [x, 1, h0, 1, h1, 1, ...]. A layer's input, its bias's 1 and its h are then one slice of it, and so
    are the head's: nothing is ever copied together.
    """

    name = "numpy"

    def __init__(self, spec: ModelSpec, weights: Mapping[str, Float32], batch: tuple[int, ...] = ()):
        """batch: a last dimension of every buffer, for what is computed side by side."""
        F, H, L = spec.feature_size, spec.hidden_size, spec.num_layers
        self._vectors = np.ones((F + 1 + L * (H + 1), *batch), np.float32)
        self._x = self._vectors[:F]
        starts = [F + 1 + k * (H + 1) for k in range(L)]  # of each layer's h
        self._h = [self._vectors[s : s + H] for s in starts]
        # Per layer [i, f, o, g, c]: with g and c side by side, i*g and f*c are one product.
        self._gates = [np.zeros((5 * H, *batch), np.float32) for _ in range(L)]
        self._c = [gates[4 * H :] for gates in self._gates]
        head = np.ascontiguousarray(np.vstack([weights["head.W"], weights["head.b"]]).T, dtype=np.float32)  # (O, H + 1)
        self._head, self._head_input = head.dot, self._vectors[starts[-1] :]
        self._cells = []
        for k in range(L):
            before = F if k == 0 else H
            inputs = self._vectors[starts[k] - 1 - before : starts[k] + H]  # [x or the h below, 1, h]
            self._cells.append(_cell(fused(weights, k), inputs, self._gates[k], self._h[k]))
        self.reset()

    def reset(self) -> None:
        for part in (*self._h, *self._c):
            part[:] = 0

    def step(self, features: Float32) -> Float32:
        self._x[:] = features
        for cell in self._cells:
            cell()
        outputs: Float32 = self._head(self._head_input)
        return outputs

    @property
    def state(self) -> State:
        return np.stack(self._h), np.stack(self._c)

    @state.setter
    def state(self, value: State) -> None:
        h, c = check_state(value, (len(self._h), *self._h[0].shape))
        for k in range(len(self._h)):
            self._h[k][:], self._c[k][:] = h[k], c[k]


class NumpyStreams(NumpyBackend):
    """N streams as N columns: one matrix product a layer and step for all of them, the weights read once."""

    def __init__(self, spec: ModelSpec, weights: Mapping[str, Float32], streams: int):
        super().__init__(spec, weights, (streams,))

    def step(self, features: Float32) -> Float32:
        """features: (N, F) -> outputs: (N, O)."""
        return super().step(features.T).T

    @property
    def state(self) -> State:
        """(h, c), (N, layers, H) each."""
        return np.stack(self._h).transpose(2, 0, 1).copy(), np.stack(self._c).transpose(2, 0, 1).copy()

    @state.setter
    def state(self, value: State) -> None:
        layers, (hidden, streams) = len(self._h), self._h[0].shape
        h, c = check_state(value, (streams, layers, hidden))
        for k in range(layers):
            self._h[k][:], self._c[k][:] = h[:, k].T, c[:, k].T


def _cell(W: Float32, inputs: Float32, gates: Float32, h: Float32) -> Callable[[], None]:
    """A function that does one layer's step in place. W: (4 H, inputs + 1 + H) from `layout.fused`."""
    H, batch = h.shape[0], h.shape[1:]
    activations, sigmoids = gates[: 4 * H], gates[: 3 * H]
    i_f, o, g_c, c = gates[: 2 * H], gates[2 * H : 3 * H], gates[3 * H :], gates[4 * H :]
    products = np.empty((2 * H, *batch), np.float32)
    i_g, f_c = products[:H], products[H:]
    tanh_c = np.empty((H, *batch), np.float32)
    half = np.full((3 * H, *batch), 0.5, np.float32)  # an array: NumPy converts a scalar anew at each call
    product, tanh, multiply, add = W.dot, np.tanh, np.multiply, np.add

    def cell() -> None:
        product(inputs, activations)
        tanh(activations, activations)
        multiply(sigmoids, half, sigmoids)  # sigmoid(a) = tanh(a / 2) / 2 + 1 / 2
        add(sigmoids, half, sigmoids)
        multiply(i_f, g_c, products)
        add(f_c, i_g, c)  # c = f * c + i * g
        tanh(c, tanh_c)
        multiply(o, tanh_c, h)  # h = o * tanh(c)

    return cell


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> NumpyBackend:
    return NumpyBackend(bundle.spec, bundle.weights)


def open_streams(bundle: Bundle, streams: int, *, artifact: str | None = None) -> NumpyStreams:
    return NumpyStreams(bundle.spec, bundle.weights, streams)
