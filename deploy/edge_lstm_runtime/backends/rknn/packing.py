"""The layout of features and states in a converted graph's inputs, and of its outputs.

The exporter builds graphs by it. The outputs of every form are y, then the network's states in
their order. The inputs:

    cell      x (1, F, 1, 1), then every state (1, size, 1, 1)
    lstm      the fused operator over T steps: x (T, 1, F), then every state (1, 1, size). Only x
              for a network that needs whole sequences
    packed    x (1, F, 1, 1). Then for each layer that multiplies its state v, and the states that
              its cell reads unrounded, (1, channels, 1, 1). v begins the vector of the layer's int8
              product: two zeros and the rounded state. In older bundles there is no x, and v of the
              first layer has it in parts on the int8 grid, between the zeros and the state

Four-dimensional arrays are passed as NHWC. That is the vendor's default, and the only layout that
both toolkits take (rknn-toolkit-lite2 raises a KeyError for a list of layouts, its issue 344).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BundleError

PINS = 2  # the channels of v that are always zero, see edge_lstm_export.quantize.npu_int8
FORMS = ("cell", "lstm", "packed")
MAX_PARTS = 1024  # far above any that an export took
X = "x"  # kinds of inputs
V = "v"
EXACT = "exact"


def spread(x: NDArray[Any], x_range: NDArray[Any], parts: int) -> NDArray[Any]:
    """(..., F) -> (..., parts F): x / x_range on the int8 grid of 1/127, `parts` times.

    The copies have different offsets, so that their sum has a grid `parts` times finer. All values
    are on the grid already, so the way in which an NPU rounds doesn't matter.
    """
    offsets = (np.arange(parts) - (parts - 1) / 2) / parts
    scaled = 127 * x / x_range
    rounded = np.rint(scaled[..., None, :] + offsets[:, None])
    values: NDArray[Any] = np.clip(rounded, -128, 127).reshape(*x.shape[:-1], -1) / 127
    return values


class Packing:
    """The arrays that go in and out, in preallocated buffers.

    io: from the artifact's manifest row. It is {"form": "cell"}, or {"form": "lstm", "steps": T}
    with "whole": true if there is no state, or {"form": "packed", "inputs": [["x", ""],
    ["v", "lstm0.h"], ["exact", "lstm0.c"], ...]}, in older bundles with "parts" and "x_range".
    features: F. states: the network's, name -> size, in order. initial: their values at the start
    of a stream, None for zero. Raises BundleError, naming the key, for any other io.
    """

    def __init__(
        self,
        io: Mapping[str, Any],
        *,
        features: int,
        states: Mapping[str, int],
        initial: Mapping[str, NDArray[Any]] | None = None,
    ):
        _check(io, features, states)
        self.form: str = io["form"]
        self.steps: int = io.get("steps", 1)
        self._sizes = dict(states)
        if self.form == "packed":
            slots = [(kind, name) for kind, name in io.get("inputs") or _of_format_1(states)]
        else:
            slots = [(X, ""), *((EXACT, name) for name in states)]
        self._parts = 0 if slots[0][0] == X else io["parts"]
        if self._parts:
            self._range = np.asarray(io["x_range"], np.float64)
        shapes = []
        before = []  # the number of values in a buffer before its state
        for n, (kind, name) in enumerate(slots):
            front = PINS + (self._parts * features if n == 0 else 0) if kind == V else 0
            size = features if kind == X else front + states[name]
            before.append(front)
            fused = (self.steps if kind == X else 1, 1, size)
            shapes.append(fused if self.form == "lstm" else (1, 1, 1, size))
        self.inputs = [np.zeros(shape, np.float32) for shape in shapes]
        flat = [array.reshape(-1) for array in self.inputs]  # views
        self._x = flat[0][PINS : before[0]] if self._parts else flat[0]
        self._state = {n: np.zeros(size, np.float32) for n, size in states.items()}
        self._rounded: list[
            tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
        ] = []
        for (kind, name), array in zip(slots, flat, strict=True):
            if kind == EXACT:
                self._state[name] = array
        for (kind, name), array, front in zip(slots, flat, before, strict=True):
            if kind == V:  # the state, its place in v, the rounding error so far
                error = np.zeros(states[name], np.float32)
                self._rounded.append((self._state[name], array[front:], error))
        self._initial = {n: np.zeros(size, np.float32) for n, size in states.items()}
        self._initial |= initial or {}
        self.reset()

    def reset(self) -> None:
        self.state = self._initial

    def put(self, features: NDArray[Any]) -> None:
        """features: (F,), or (T, F) if the graph takes T steps."""
        if self._parts:
            self._x[:] = spread(features, self._range, self._parts)
        else:
            self._x[:] = features.ravel()

    def take(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Copy the states of `outputs` into the inputs, and return a copy of y, (T, O).

        The runtime may write its next outputs into the same memory. Raises ValueError for other
        sizes.
        """
        y, *states = outputs
        sizes = [np.size(part) for part in states]
        if sizes != list(self._sizes.values()):
            raise ValueError(f"states of {sizes} values, expected {list(self._sizes.values())}")
        for array, new in zip(self._state.values(), states, strict=True):
            array[:] = np.ravel(new)
        self._round()
        return np.array(y, np.float32).reshape(self.steps, -1)

    def _round(self) -> None:
        """Put the state in each v on the int8 grid, corrected by the last rounding error."""
        for exact, place, error in self._rounded:
            np.add(exact, error, out=error)
            place[:] = np.clip(np.rint(127 * error), -128, 127) / 127
            error -= place

    @property
    def state(self) -> dict[str, NDArray[np.float32]]:
        """Copies by name, (size,) each. Assigning sets all of them."""
        return {name: array.copy() for name, array in self._state.items()}

    @state.setter
    def state(self, value: Mapping[str, NDArray[Any]]) -> None:
        for name, array in self._state.items():
            array[:] = value[name]
        for _, _, error in self._rounded:
            error[:] = 0
        self._round()


def _check(io: Mapping[str, Any], features: int, states: Mapping[str, int]) -> None:
    def check(key: str, good: bool, expected: str) -> None:
        if not good:
            found = f"is {io[key]!r}" if key in io else "is missing"
            raise BundleError(f"recipe.io.{key} {found}; expected {expected}")

    form = io.get("form")
    steps = io.get("steps", 1)
    check("form", form in FORMS, f"one of {', '.join(FORMS)}")
    check("steps", type(steps) is int and steps >= 1, "a whole number from 1")
    check("steps", steps == 1 or form == "lstm", "1, unless the form is lstm")
    if form != "packed":
        return
    slots = io.get("inputs") or _of_format_1(states)
    pairs = isinstance(slots, list) and all(
        isinstance(slot, (list, tuple)) and len(slot) == 2 for slot in slots
    )
    own = pairs and [tuple(slot) for slot in slots][:1] == [(X, "")]
    rest = slots[1:] if own else slots
    known = pairs and all(kind in (V, EXACT) and name in list(states) for kind, name in rest)
    check(
        "inputs",
        known and (own or slots[0][0] == V),
        f"pairs of {V} or {EXACT} and one of {', '.join(states)}, {X} or {V} first",
    )
    if own:
        return
    parts = io.get("parts")
    check("parts", type(parts) is int and 1 <= parts <= MAX_PARTS, f"1 to {MAX_PARTS}")
    x_range = io.get("x_range")
    fits = isinstance(x_range, list) and len(x_range) == features
    numbers = fits and all(
        type(v) in (int, float) and 0 < v <= sys.float_info.max for v in io["x_range"]
    )
    check("x_range", numbers, f"{features} numbers above 0")


def _of_format_1(states: Mapping[str, int]) -> list[tuple[str, str]]:
    """The inputs in a bundle of format 1, which knew LSTM layers only: h in v, c unrounded."""
    return [(V if name.endswith(".h") else EXACT, name) for name in states]
