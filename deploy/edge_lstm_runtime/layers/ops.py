"""The pointwise functions that a cell may use, for NumPy. The trainer has the same for torch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Ops(Protocol):
    """Arrays are (..., n). Every function works on the last dimension, or on each value."""

    def split(self, sums: Any, parts: int) -> tuple[Any, ...]: ...
    def join(self, parts: list[Any]) -> Any: ...
    def sigmoid(self, a: Any) -> Any: ...
    def tanh(self, a: Any) -> Any: ...
    def relu(self, a: Any) -> Any: ...
    def normalize(self, a: Any, scale: Any, shift: Any, epsilon: float) -> Any:
        """(a - mean) / sqrt(variance + epsilon) scale + shift. scale, shift: (n,)."""

    def softmax(self, a: Any) -> Any: ...
    def one_hot(self, a: Any, count: int) -> Any:
        """a (..., 1) -> (..., count): 1 at the place a and 0 elsewhere.

        If a is between two whole numbers, both places have their share: max(0, 1 - |a - place|).
        """

    def sums(self, value: Any) -> Any:
        """The sums of a layer's products, unchanged. A number format may round them here.

        A cell then splits them into parts, perhaps a single one, before anything else.
        """

    def keep(self, name: str, value: Any) -> Any:
        """The value, unchanged. A `Recorder` keeps it by this name."""


class NumpyOps:
    def split(self, sums: Any, parts: int) -> tuple[Any, ...]:
        size = sums.shape[-1] // parts
        return tuple(sums[..., k * size : (k + 1) * size] for k in range(parts))

    def join(self, parts: list[Any]) -> Any:
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def sigmoid(self, a: Any) -> Any:
        # The logistic function, without overflow for large negative a.
        return 0.5 * (1.0 + np.tanh(0.5 * a))

    def tanh(self, a: Any) -> Any:
        return np.tanh(a)

    def relu(self, a: Any) -> Any:
        return np.maximum(a, 0)

    def normalize(self, a: Any, scale: Any, shift: Any, epsilon: float) -> Any:
        centred = a - a.mean(axis=-1, keepdims=True)
        # The rounding of a large mean is a mean again.
        centred = centred - centred.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return centred / np.sqrt(variance + a.dtype.type(epsilon)) * scale + shift

    def softmax(self, a: Any) -> Any:
        powers = np.exp(a - a.max(axis=-1, keepdims=True))  # without overflow
        return powers / powers.sum(axis=-1, keepdims=True)

    def one_hot(self, a: Any, count: int) -> Any:
        return np.maximum(1 - np.abs(a - np.arange(count, dtype=a.dtype)), 0)

    def sums(self, value: Any) -> Any:
        return value

    def keep(self, name: str, value: Any) -> Any:
        return value


class Recorder(NumpyOps):
    """Keeps the named values of a cell. found: name -> the value of the last step."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def keep(self, name: str, value: Any) -> Any:
        self.found[name] = value
        return value


NUMPY = NumpyOps()


def activated(ops: Ops, activation: str, a: Any) -> Any:
    """activation: "none", or the name of a function of `ops`."""
    return a if activation == "none" else getattr(ops, activation)(a)
