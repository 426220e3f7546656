"""Walks the layers of a Keras model: each tensor is known by the origins of its features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.dense import Activation

from .. import Float32, Floats
from .._elements import Ids, elements, source_of
from .._parts import DensePart, LayerPart, Part, X, joined, needed, with_whole_operands
from .config import Item, Ref

NOTHING: Ids = np.empty(0, np.int64)


class Value(NamedTuple):
    """columns: (n,) the origins of a tensor's features. last: whether it is one step alone.

    number: whether each step is a number, without an axis of features
    before: how many steps of zeros stand before the first step
    """

    columns: Ids
    last: bool = False
    number: bool = False
    before: int = 0


class Node(NamedTuple):
    """Where a layer is made of. tensor: Keras tells its output by this name, "" if it doesn't."""

    item: Item
    tensor: str


Handler = Callable[["Walk", Node, Sequence[Value]], Value]


class Walk:
    """What became of a model's layers.

    arrays  of the file of weights
    parts   what was found
    counts  as of `Foreign`
    faults  a sentence each
    """

    def __init__(self, arrays: dict[str, Float32], handlers: Mapping[str, Handler]) -> None:
        self.arrays = arrays
        self.handlers = handlers
        self.parts: list[Part] = []
        self.counts: dict[int, int] = {}
        self.faults: list[str] = []
        self._sources = X
        self._depth = 0

    def model(self, model: Item, x: Value) -> Value | None:
        """The first output, None if it is after a layer that can't be taken."""
        values: dict[Ref, Value | None] = {}
        self._depth += 1
        waiting = [(item, k) for item in model.inside for k in range(max(len(item.calls), 1))]
        while waiting:  # the layers of a file are in any order
            rest = []
            for item, k in waiting:
                read = item.calls[k] if item.calls else ()
                if item.kind == "InputLayer":
                    values[item.name, k, 0] = x
                elif all(ref in values for ref in read):
                    given = [values[ref] for ref in read] or [x]  # a Sequential without an input
                    values[item.name, k, 0] = self._call(item, given)
                else:
                    rest.append((item, k))
            if len(rest) == len(waiting):
                listed = ", ".join(sorted({repr(item.name) for item, _ in rest}))
                raise ConversionError(
                    f"the layers {listed} read a state, or something that is not there"
                )
            waiting = rest
        self._depth -= 1
        if not model.outputs or model.outputs[0] not in values:
            raise ConversionError(f"the output of the model {model.name!r} is not there")
        return values[model.outputs[0]]

    def result(self, y: Value, features: int) -> list[Part]:
        """The layers in the making. The last one's outputs are y. Raises ConversionError."""
        if y.before:
            raise ConversionError("the output has padded steps, which are more than the input has")
        source = int(source_of(y.columns)[0])
        last = next((part for part in self.parts if part.source == source), None)
        if last is None or not np.array_equal(
            y.columns, elements(source, 0, np.arange(last.units))
        ):
            one = np.ones(len(y.columns))
            y = self.matrix(Node(Item("", "output", ""), ""), y, one, 0 * one)
        parts = joined(needed(self.parts, [int(source_of(y.columns)[0])]))
        return with_whole_operands(parts, features)

    def _call(self, item: Item, values: Sequence[Value | None]) -> Value | None:
        given = [value for value in values if value is not None]
        if len(given) < len(values):
            return None
        # Keras tells the output of a layer by its name, if it has one.
        tensor = item.name if len(item.calls) < 2 and self._depth == 1 else ""
        try:
            if len({value.last for value in given}) > 1:
                raise ConversionError("it reads all steps, and the last one alone")
            if item.kind in ("Sequential", "Functional"):
                return self.model(item, given[0])
            return self.made(Node(item, tensor), given)
        except ConversionError as e:
            self.faults.append(f"{item.kind} {item.name!r} can't be taken: {e}")
            return None

    def made(self, node: Node, given: Sequence[Value]) -> Value:
        """What a layer becomes. Raises ConversionError."""
        kind = node.item.kind
        if given[0].number and kind != "Embedding":
            raise ConversionError("it reads one number at each step, expected (steps, features)")
        if any(value.before for value in given) and kind != "Conv1D":
            raise ConversionError("it reads padded steps, expected a Conv1D after a ZeroPadding1D")
        return self.handlers[kind](self, node, given)

    # --- layers of ours ---

    def source(self) -> int:
        self._sources += 1
        return self._sources

    def keep(self, part: Part, x: Value) -> Value:
        """The outputs of a new part."""
        self.parts.append(part)
        return Value(elements(part.source, 0, np.arange(part.units)), x.last)

    def matrix(
        self, node: Node, x: Value, W: Floats, b: Floats, activation: Activation = "none"
    ) -> Value:
        """A dense layer. W: (n, units), or (n,) the diagonal."""
        name = node.item.name
        return self.keep(
            DensePart(
                *(name, node.tensor, NOTHING, self.source(), x.columns, len(b), W, b, activation)
            ),
            x,
        )

    def layer(
        self,
        node: Node,
        operands: Sequence[Value],
        units: int,
        kind: type[Layer],
        options: Mapping[str, Any] | None = None,
        vectors: dict[str, Floats] | None = None,
    ) -> Value:
        """A layer without a state, which reads whole layers."""
        columns = tuple(value.columns for value in operands)
        part = LayerPart(
            *(node.item.name, node.tensor, NOTHING, self.source(), np.concatenate(columns), units),
            *(kind, dict(options or {}), columns, vectors or {}),
        )
        return self.keep(part, operands[0])

    def weights(self, path: str, shapes: Sequence[tuple[int, ...]]) -> list[Floats]:
        """In float64, by their places. Raises ConversionError."""
        names = [name for name in self.arrays if name.startswith(f"{path}vars/")]
        if not names:
            raise ConversionError("it has no weights of its own in the file, or shares a layer's")
        found = []
        for k, shape in enumerate(shapes):
            array = self.arrays.get(f"{path}vars/{k}")
            if array is None or array.shape != shape or len(names) != len(shapes):
                shown = [self.arrays[name].shape for name in names]
                raise ConversionError(f"its weights have the shapes {shown}, expected {shapes}")
            if not np.isfinite(array).all():
                raise ConversionError("its weights have NaN or infinity")
            found.append(array.astype(np.float64))
        return found
