"""The base backend: float32, NumPy alone, one fused gate product per layer and step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..layers.layout import fused
from ..model.spec import ModelSpec
from .base import Backend, Facts, State, WholeSequence, check_state

if TYPE_CHECKING:
    from ..model.bundle import Bundle

Float32 = NDArray[np.float32]
FACTS = Facts("float32", variables=("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"))


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
        self._head, self._head_input = _head(weights).dot, self._vectors[starts[-1] :]
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


class BidirectionalNumpyBackend(WholeSequence):
    """The same cells, over a whole sequence forward and backward, a layer after the other."""

    name = "numpy"

    def __init__(self, spec: ModelSpec, weights: Mapping[str, Float32]):
        self._hidden = spec.hidden_size
        self._layers = [
            [_Direction(fused(weights, k, reverse=reverse), spec.layer_input_size(k)) for reverse in (False, True)]
            for k in range(spec.num_layers)
        ]
        self._head = _head(weights).T  # (2 H + 1, O)

    def run(self, features: Float32) -> Float32:
        steps, H = len(features), self._hidden
        x = features
        for forward, backward in self._layers:
            hidden = np.ones((steps, 2 * H + 1), np.float32)  # [forward h, backward h, 1]
            forward.run(x, hidden[:, :H])
            backward.run(x[::-1], hidden[::-1, H : 2 * H])
            x = hidden[:, : 2 * H]
        outputs: Float32 = hidden @ self._head
        return outputs


class _Direction:
    """One direction of one layer."""

    def __init__(self, W: Float32, inputs: int):
        """W: (4 H, inputs + 1 + H) from `layout.fused`."""
        H = W.shape[0] // 4
        vector = np.ones(inputs + 1 + H, np.float32)  # [x, 1, h]
        self._gates = np.zeros(5 * H, np.float32)
        self._x, self._h, self._c = vector[:inputs], vector[inputs + 1 :], self._gates[4 * H :]
        self._cell = _cell(W, vector, self._gates, self._h)

    def run(self, x: Float32, hidden: Float32) -> None:
        """x: (steps, inputs), in the order in which they are read; hidden: takes (steps, H)."""
        self._h[:] = self._c[:] = 0
        for row, h in zip(x, hidden, strict=True):
            self._x[:] = row
            self._cell()
            h[:] = self._h


def _head(weights: Mapping[str, Float32]) -> Float32:
    """(O, inputs + 1), the bias in the last column."""
    return np.ascontiguousarray(np.vstack([weights["head.W"], weights["head.b"]]).T, dtype=np.float32)


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


def numpy_backend(spec: ModelSpec, weights: Mapping[str, Float32]) -> Backend:
    """The backend of a model of one direction or both."""
    return BidirectionalNumpyBackend(spec, weights) if spec.bidirectional else NumpyBackend(spec, weights)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> Backend:
    return numpy_backend(bundle.spec, bundle.weights)


def open_streams(bundle: Bundle, streams: int, *, artifact: str | None = None) -> NumpyStreams:
    return NumpyStreams(bundle.spec, bundle.weights, streams)
