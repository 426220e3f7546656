"""Layers in the making."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.dense import Activation, Dense

from .. import Float32, Floats
from .._rows import canonical
from .elements import Ids, elements, source_of, unit_of

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
class RecurrentPart(Part):
    """rows: W_x (gates H, n), W_h, b_x, b_h with the gates in our order.

    operator: the place of its node in the graph
    cell: the source of its c, or None
    open: the states that the graph starts at zero itself, "h" or "c"
    """

    kind: type[Layer]
    options: dict[str, Any]
    rows: tuple[Floats, Floats, Floats, Floats]
    operator: int
    cell: int | None = None
    open: tuple[str, ...] = ()

    def layer(self, name: str, inputs: tuple[str, ...]) -> Layer:
        return self.kind(name, inputs, self.units, **self.options)  # type: ignore[call-arg, arg-type]

    def weights(self, layer: Layer, spread: Callable[[Floats], Floats]) -> dict[str, Float32]:
        W_x, *others = self.rows
        return canonical(layer, spread(W_x.T).T, *others)


def sources(part: Part) -> list[int]:
    """What a part reads, in the order of the first columns."""
    return list(dict.fromkeys(source_of(part.columns).tolist()))


def needed(parts: Sequence[Part], output: int) -> list[Part]:
    """The parts that the output depends on, in their order."""
    wanted = {output}
    for part in reversed(parts):
        if part.source in wanted:
            wanted.update(sources(part))
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
        if max(size, len(part.columns)) * part.units > MAX_MATRIX:
            raise ConversionError(
                f"{part.node!r} becomes a matrix of {size:,} by {part.units:,} values, too large"
            )
        places = [starts[s] for s in source_of(part.columns).tolist()] + unit_of(part.columns)

        def spread(rows: Floats, places: Ids = places, size: int = size) -> Floats:
            found = np.zeros((size, rows.shape[1]))
            np.add.at(found, places, rows)  # a column may be there twice
            return found

        kind = part.kind.type if isinstance(part, RecurrentPart) else Dense.type
        layer = part.layer(f"{kind}{k}", tuple(names[s] for s in read))
        names[part.source] = layer.name
        sizes[part.source] = part.units
        found.append(layer)
        weights |= part.weights(layer, spread)
    return found, weights
