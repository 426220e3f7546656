"""Layers in the making: activations joined, columns put in the order of whole layers.

Shared by the importers onnx, keras and tflite. What a part reads is told by origins
(`_elements.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.both_ways import REVERSE, BothWays
from edge_lstm_runtime.layers.causal_conv import CausalConv
from edge_lstm_runtime.layers.combine import Combine
from edge_lstm_runtime.layers.dense import Activation, Dense
from edge_lstm_runtime.layers.scale import Scale

from . import Float32, Floats
from ._elements import Ids, elements, source_of, unit_of
from ._rows import canonical

MAX_MATRIX = 2**26  # values of a dense layer's
X = 0  # the source of the features


@dataclasses.dataclass
class Part:
    """node      its name in the file
    tensor, ids  where its outputs are in the file
    source       what its outputs are numbered as
    columns      (n,) what it reads, of step 0
    """

    node: str
    tensor: str
    ids: Ids
    source: int
    columns: Ids
    units: int

    def layer(self, name: str, inputs: tuple[str, ...]) -> Layer:
        raise NotImplementedError

    def weights(self, layer: Layer, spread: Callable[[Floats], Floats]) -> dict[str, Float32]:
        """spread: rows for the columns (n, k) -> rows for all that the layer reads (m, k)."""
        raise NotImplementedError


@dataclasses.dataclass
class DensePart(Part):
    """W: (n, units), or (n,) the diagonal. b: (units,). Both float64."""

    W: Floats
    b: Floats
    activation: Activation = "none"

    def layer(self, name: str, inputs: tuple[str, ...]) -> Layer:
        return Dense(name, inputs, self.units, self.activation)

    def weights(self, layer: Layer, spread: Callable[[Floats], Floats]) -> dict[str, Float32]:
        W = spread(np.diag(self.W) if self.W.ndim == 1 else self.W)
        return {
            f"{layer.name}.W": np.ascontiguousarray(W, np.float32),
            f"{layer.name}.b": self.b.astype(np.float32),
        }

    def ends_in(self, other: DensePart) -> bool:
        """Whether the other one only scales these outputs and puts a function on them."""
        return (
            self.activation == "none"
            and other.W.ndim == 1
            and np.array_equal(other.columns, elements(self.source, 0, np.arange(self.units)))
        )

    def take(self, other: DensePart) -> None:
        self.W = self.W * other.W
        self.b = self.b * other.W + other.b
        self.activation = other.activation
        self.tensor = other.tensor
        self.ids = other.ids
        self.source = other.source


@dataclasses.dataclass
class LayerPart(Part):
    """A layer without a matrix and without a state.

    operands: (n,) what it reads, a whole layer each. `columns` is all of them
    vectors: its weights by name
    """

    kind: type[Layer]
    options: dict[str, Any]
    operands: tuple[Ids, ...]
    vectors: dict[str, Floats] = dataclasses.field(default_factory=dict)

    def layer(self, name: str, inputs: tuple[str, ...]) -> Layer:
        return self.kind(name, inputs, **self.options)

    def takes(self, other: Part) -> bool:
        """Whether the other one scales these outputs alone, which is now a part of this one."""
        alone = np.array_equal(other.columns, elements(self.source, 0, np.arange(self.units)))
        if not (alone and isinstance(other, DensePart) and other.W.ndim == 1):
            return False
        if set(self.vectors) != {"a", "b"} or other.activation != "none":
            return False
        a, b = self.vectors["a"], self.vectors["b"]
        self.vectors = {"a": a * other.W, "b": b * other.W + other.b}
        self.tensor = other.tensor
        self.ids = other.ids
        self.source = other.source
        return True

    def weights(self, layer: Layer, spread: Callable[[Floats], Floats]) -> dict[str, Float32]:  # noqa: ARG002
        return {f"{layer.name}.{n}": v.astype(np.float32) for n, v in self.vectors.items()}


@dataclasses.dataclass
class RecurrentPart(Part):
    """rows: W_x (gates H, n), W_h, b_x, b_h with the gates in our order.

    operator: the place of its node in the graph. None if it is made of several nodes
    cell: the source of its c, or None
    open: the states that the graph starts itself, "h" or "c"
    initial: their values at the start, of each state. () for zeros
    """

    kind: type[Layer]
    options: dict[str, Any]
    rows: tuple[Floats, Floats, Floats, Floats]
    operator: int | None
    cell: int | None = None
    open: tuple[str, ...] = ()
    initial: tuple[tuple[float, ...], ...] = ()

    def layer(self, name: str, inputs: tuple[str, ...]) -> Layer:
        kind: Any = self.kind
        found: Layer = kind(name, inputs, self.units, **self.options, initial=self.initial)
        return found

    def weights(self, layer: Layer, spread: Callable[[Floats], Floats]) -> dict[str, Float32]:
        W_x, *others = self.rows
        return canonical(layer, spread(W_x.T).T, *others)


@dataclasses.dataclass
class ConvPart(Part):
    """W: (kernel, n, units) of the oldest step to the newest. b: (units,). Both float64."""

    kind: ClassVar[type[Layer]] = CausalConv
    W: Floats
    b: Floats
    dilation: int = 1
    activation: Activation = "none"

    def layer(self, name: str, inputs: tuple[str, ...]) -> Layer:
        kernel = len(self.W)
        return CausalConv(name, inputs, self.units, kernel, self.dilation, self.activation)

    def weights(self, layer: Layer, spread: Callable[[Floats], Floats]) -> dict[str, Float32]:
        W = np.concatenate([spread(tap) for tap in self.W])
        return {
            f"{layer.name}.W": np.ascontiguousarray(W, np.float32),
            f"{layer.name}.b": self.b.astype(np.float32),
        }


@dataclasses.dataclass
class BothPart(Part):
    """A recurrent layer in both directions, of units / 2 each.

    ways: forward, then backward, each with rows as of `RecurrentPart`
    """

    kind: ClassVar[type[Layer]] = BothWays
    inner: type[Layer]
    options: dict[str, Any]
    ways: tuple[tuple[Floats, ...], tuple[Floats, ...]]

    def layer(self, name: str, inputs: tuple[str, ...]) -> Layer:
        inner: Any = self.inner
        return BothWays(name, inputs, inner(name, inputs, self.units // 2, **self.options))

    def weights(self, layer: Layer, spread: Callable[[Floats], Floats]) -> dict[str, Float32]:
        assert isinstance(layer, BothWays)
        found = {}
        for prefix, (W_x, W_h, b_x, b_h) in zip(("", REVERSE), self.ways, strict=True):
            own = canonical(layer.layer, spread(W_x.T).T, W_h, b_x, b_h)
            for name, w in own.items():
                found[f"{layer.name}.{prefix}{name.removeprefix(f'{layer.name}.')}"] = w
        return found


def sources(part: Part) -> list[int]:
    """What a part reads, in the order of the first columns."""
    if isinstance(part, LayerPart):
        return [int(source_of(operand[:1])[0]) for operand in part.operands]
    return list(dict.fromkeys(source_of(part.columns).tolist()))


def needed(parts: Sequence[Part], outputs: Iterable[int]) -> list[Part]:
    """The parts that these sources depend on, in their order."""
    cells = {part.cell: part.source for part in parts if isinstance(part, RecurrentPart)}
    wanted = {cells.get(source, source) for source in outputs}
    for part in reversed(parts):
        if part.source in wanted:
            wanted.update(cells.get(source, source) for source in sources(part))
    return [part for part in parts if part.source in wanted]


def joined(parts: Sequence[Part]) -> list[Part]:
    """With biases, factors and activations inside the dense layer that alone they stand after."""
    readers: dict[int, int] = {}
    for part in parts:
        for source in sources(part):
            readers[source] = readers.get(source, 0) + 1
    kept: list[Part] = []
    for part in parts:
        before = sources(part)
        last = next((p for p in kept if [p.source] == before), None)
        if isinstance(last, LayerPart) and readers[last.source] == 1 and last.takes(part):
            continue
        if (
            isinstance(part, DensePart)
            and isinstance(last, DensePart)
            and readers[last.source] == 1
            and last.ends_in(part)
        ):
            last.take(part)
        else:
            kept.append(part)
    return kept


def with_whole_operands(parts: Sequence[Part], features: int) -> list[Part]:
    """With a layer before each operand that is no whole layer, which gathers its values."""
    sizes = {X: features} | {part.source: part.units for part in parts}
    new = max(sizes) + 1000  # the number of a source that no other has
    kept: list[Part] = []
    for part in parts:
        if isinstance(part, LayerPart):
            operands = list(part.operands)
            for k, columns in enumerate(operands):
                if not is_whole(columns, sizes):
                    new += 1
                    kept.append(_gathered(part.node, columns, new, sizes))
                    operands[k] = elements(new, 0, np.arange(len(columns)))
            columns = np.concatenate(operands)
            part = dataclasses.replace(part, operands=tuple(operands), columns=columns)
        elif isinstance(part, DensePart) and part.W.ndim == 1 and is_whole(part.columns, sizes):
            part = LayerPart(
                *(part.node, part.tensor, part.ids, part.source, part.columns, part.units),
                *(Scale, {"activation": part.activation}, (part.columns,)),
                {"a": part.W, "b": part.b},
            )
        kept.append(part)
    return kept


def _gathered(node: str, columns: Ids, source: int, sizes: Mapping[int, int]) -> Part:
    """These columns, as a layer: several whole ones side by side, or a dense layer of ones."""
    size = len(columns)
    where = (node, "", np.empty(0, np.int64), source, columns, size)
    borders = np.flatnonzero(np.diff(source_of(columns)) | (np.diff(unit_of(columns)) != 1)) + 1
    pieces = np.split(columns, borders)
    if all(is_whole(piece, sizes) for piece in pieces):
        return LayerPart(*where, Combine, {"operation": "concat"}, tuple(pieces))
    return DensePart(*where, np.eye(size), np.zeros(size))


def is_whole(columns: Ids, sizes: Mapping[int, int]) -> bool:
    """Whether these are all values of one source, in their order."""
    source = int(source_of(columns[:1])[0])
    return np.array_equal(columns, elements(source, 0, np.arange(sizes.get(source, 0))))


def layers(parts: Sequence[Part], features: int) -> tuple[list[Layer], dict[str, Float32]]:
    """The layers, and their weights by "LAYER.NAME".

    A layer here reads others as a whole. Rows of zeros stand for what it doesn't use.
    """
    names = {X: FEATURES}
    sizes = {X: features}
    found: list[Layer] = []
    weights: dict[str, Float32] = {}
    for k, part in enumerate(parts):
        read = sources(part)
        starts = dict(zip(read, np.cumsum([0, *(sizes[s] for s in read)]).tolist(), strict=False))
        size = sum(sizes[s] for s in read)
        matrix = not isinstance(part, LayerPart)
        if matrix and max(size, len(part.columns)) * part.units > MAX_MATRIX:
            raise ConversionError(
                f"{part.node!r} becomes a matrix of {size:,} by {part.units:,} values, too large"
            )
        places = [starts[s] for s in source_of(part.columns).tolist()] + unit_of(part.columns)

        def spread(rows: Floats, places: Ids = places, size: int = size) -> Floats:
            found = np.zeros((size, rows.shape[1]))
            np.add.at(found, places, rows)  # a column may be there twice
            return found

        others = RecurrentPart | LayerPart | ConvPart | BothPart
        kind = part.kind.type if isinstance(part, others) else Dense.type
        layer = part.layer(f"{kind}{k}", tuple(names[s] for s in read))
        names[part.source] = layer.name
        sizes[part.source] = part.units
        found.append(layer)
        weights |= part.weights(layer, spread)
    return found, weights
