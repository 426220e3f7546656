"""How features and states stand in the inputs of a converted graph, and its answers in the outputs. The exporter builds graphs by it.

    cell      x (1, F, 1, 1), then h and c of every layer (1, H, 1, 1)
    lstm      x (T, 1, F), then h and c of every layer (1, 1, H): the fused operator over T steps; x alone where it is bidirectional
    packed    v and c of every layer, (1, channels, 1, 1): v is everything that the layer's int8 product is taken with, so that the graph
              need not put it together: two zeros, x in parts (first layer only), h

Outputs are y, then h and c of every layer. Four-dimensional arrays are handed over as NHWC: the vendor's default, and the only layout that
both of its toolkits take (rknn-toolkit-lite2 raises a KeyError for a list of layouts, its issue 344).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PINS = 2  # channels of v that are always zero, see edge_lstm_export.quantize.npu_int8


def spread(x: NDArray[Any], x_range: NDArray[Any], parts: int) -> NDArray[Any]:
    """(..., F) -> (..., parts F): x / x_range on the int8 grid of 1/127, `parts` times, at offsets whose sum is a grid `parts` times finer.

    The values are on the grid already, so whatever way an NPU rounds is right.
    """
    offsets = (np.arange(parts) - (parts - 1) / 2) / parts
    scaled = 127 * x / x_range
    rounded = np.rint(scaled[..., None, :] + offsets[:, None])
    values: NDArray[Any] = np.clip(rounded, -128, 127).reshape(*x.shape[:-1], -1) / 127
    return values


class Packing:
    """The arrays that go in and out, in preallocated buffers.

    io: of the artifact's manifest row: {"form": "cell"}, {"form": "lstm", "steps": T}, {"form": "lstm", "steps": T, "bidirectional": true}
    (which has no state) or {"form": "packed", "parts": n, "x_range": [...]}
    """

    def __init__(self, io: Mapping[str, Any], *, features: int, hidden: int, layers: int):
        self.form: str = io["form"]
        self.steps: int = io.get("steps", 1)
        layers = 0 if io.get("bidirectional") else layers  # that carry a state
        self._hidden, self._layers = hidden, layers
        self._first = 0 if self.form == "packed" else 1  # position of the first layer's pair of states
        if self.form == "packed":
            self._parts, self._range = io["parts"], np.asarray(io["x_range"], np.float64)
            self._before = [PINS + (self._parts * features if k == 0 else 0) for k in range(layers)]
            shapes: list[tuple[int, ...]] = [(1, 1, 1, size) for before in self._before for size in (before + hidden, hidden)]
        else:
            self._before = [0] * layers
            state: tuple[int, ...] = (1, 1, hidden) if self.form == "lstm" else (1, 1, 1, hidden)
            shapes = [(self.steps, 1, features) if self.form == "lstm" else (1, 1, 1, features), *[state] * (2 * layers)]
        self.inputs = [np.zeros(shape, np.float32) for shape in shapes]
        flat = [array.reshape(-1) for array in self.inputs]  # views
        self._x = flat[0]
        pairs = [flat[self._first + 2 * k : self._first + 2 * k + 2] for k in range(layers)]
        self._h_in = [v[before:] for (v, _), before in zip(pairs, self._before, strict=True)]
        self._c = [c for _, c in pairs]
        self._h = [np.zeros(hidden, np.float32) for _ in range(layers)] if self.form == "packed" else self._h_in
        self._error = [np.zeros(hidden, np.float32) for _ in range(layers)]  # what rounding h has left out so far

    def put(self, features: NDArray[Any]) -> None:
        """features: (F,), or (T, F) where the graph takes T steps."""
        if self.form == "packed":
            self._x[PINS : self._before[0]] = spread(features, self._range, self._parts)
        else:
            self._x[:] = features.ravel()

    def take(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Carry the states of `outputs` over into the inputs; returns y, (T, O).

        Everything is copied: the runtime may write its next outputs into the same memory. Raises ValueError for other sizes.
        """
        y, *states = outputs
        sizes = [np.size(part) for part in states]
        if sizes != [self._hidden] * (2 * self._layers):
            raise ValueError(f"states of {sizes} values, expected {2 * self._layers} of {self._hidden}")
        for k in range(self._layers):
            self._h[k][:], self._c[k][:] = np.ravel(states[2 * k]), np.ravel(states[2 * k + 1])
        self._round()
        return np.array(y, np.float32).reshape(self.steps, -1)

    def _round(self) -> None:
        """Put h on the int8 grid, what the last rounding left out made up for."""
        if self.form == "packed":
            for h, h_in, error in zip(self._h, self._h_in, self._error, strict=True):
                np.add(h, error, out=error)
                h_in[:] = np.clip(np.rint(127 * error), -128, 127) / 127
                error -= h_in

    @property
    def state(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(h, c), (layers, H) each: copies."""
        h, c = (np.array(part, np.float32).reshape(self._layers, self._hidden) for part in (self._h, self._c))
        return h, c

    @state.setter
    def state(self, value: tuple[NDArray[Any], NDArray[Any]]) -> None:
        for part, new in zip((self._h, self._c), value, strict=True):
            for k in range(self._layers):
                part[k][:] = new[k]
        for error in self._error:
            error[:] = 0
        self._round()
