"""Finds out which operator a layer's cell applies first to each part of its sums."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.layers import Layer


def activations(layer: Layer) -> list[str]:
    """The operator that the cell applies first to each part of its sums, or "" for none.

    Raises ConversionError if the cell doesn't split its sums.
    """
    probe = _Probe()
    none = _Anything()
    layer.cell(probe, lambda *_: none, _Everything(none), none, _Everything(none))
    if not probe.parts:
        raise ConversionError(
            f"layer {layer.name!r}: the cell of type {layer.type!r} doesn't split what `ops.sums` "
            "returns; expected `ops.split(ops.sums(...), parts)`"
        )
    return [part.used for part in probe.parts]


class _Everything(dict[str, Any]):
    """A mapping that has the same value for each name."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, key: str) -> Any:
        return self._value


class _Anything:
    """A value of which nothing is known. part: the part of the sums, if the value is one."""

    def __init__(self, part: _Part | None = None) -> None:
        self.part = part

    def touch(self, operator: str = "") -> None:
        """The value is read. A part that is read twice has no activation of its own."""
        if self.part is not None:
            self.part.used = "" if self.part.touched else operator
            self.part.touched = True

    def _with(self, other: Any) -> _Anything:
        for value in (self, other):
            if isinstance(value, _Anything):
                value.touch()
        return _Anything()

    __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __rsub__ = _with


@dataclasses.dataclass
class _Part:
    used: str = ""
    touched: bool = False


class _Probe:
    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self._sums = False

    def split(self, sums: Any, parts: int) -> tuple[Any, ...]:  # noqa: ARG002
        if not self._sums:
            return tuple(_Anything() for _ in range(parts))
        self._sums = False
        self.parts = [_Part() for _ in range(parts)]
        return tuple(map(_Anything, self.parts))

    def join(self, parts: Sequence[Any]) -> Any:
        for part in parts:
            part.touch()
        return _Anything()

    def sums(self, value: Any) -> Any:
        self._sums = True
        return value

    def keep(self, name: str, value: Any) -> Any:  # noqa: ARG002
        value.touch()  # a raw part that is looked at
        return value

    def _apply(self, operator: str, a: _Anything) -> _Anything:
        a.touch(operator)
        return _Anything()

    def sigmoid(self, a: Any) -> Any:
        return self._apply("Sigmoid", a)

    def tanh(self, a: Any) -> Any:
        return self._apply("Tanh", a)

    def relu(self, a: Any) -> Any:
        return self._apply("Relu", a)

    def normalize(self, a: Any, scale: Any, shift: Any, epsilon: float) -> Any:  # noqa: ARG002
        return self._apply("", a)

    def softmax(self, a: Any) -> Any:
        return self._apply("", a)

    def one_hot(self, a: Any, count: int) -> Any:  # noqa: ARG002
        return self._apply("", a)
