"""Recurrent layers, also cell by cell and in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.gru import Gru
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.layers.rnn import Rnn

from .. import Floats
from .._parts import BothPart, RecurrentPart
from .._rows import reordered
from .config import Item
from .nodes import size_of
from .walk import NOTHING, Handler, Node, Value, Walk

# Class of a cell -> our layer, and for each of our gates the place of Keras's: i, f, c, o and
# z, r, h.
CELLS: dict[str, tuple[type[Layer], tuple[int, ...]]] = {
    "LSTMCell": (Lstm, (0, 1, 2, 3)),
    "GRUCell": (Gru, (1, 0, 2)),
    "SimpleRNNCell": (Rnn, (0,)),
}
Rows = tuple[Floats, Floats, Floats, Floats]


def recurrent(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    (x,) = given
    item = node.item
    if item.options["go_backwards"]:
        raise ConversionError("go_backwards needs the whole sequence at once")
    _check_steps(x)
    cells = _cells(item)
    for k, cell in enumerate(cells):
        kind, options, rows = _taken(walk, cell, len(x.columns))
        tensor = node.tensor if k == len(cells) - 1 else ""
        part = RecurrentPart(
            *(item.name, tensor, NOTHING, walk.source(), x.columns, size_of(cell, "units")),
            *(kind, options, rows),
            operator=0,
        )
        x = walk.keep(part, x)
    return Value(x.columns, not item.options["return_sequences"])


def both(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    (x,) = given
    item = node.item
    if (mode := item.options["merge_mode"]) != "concat":
        raise ConversionError(f"merge_mode is {mode!r}, expected 'concat'")
    _check_steps(x)
    ways = []
    for k, way in enumerate(item.inside):
        if way.kind not in ("LSTM", "GRU", "SimpleRNN"):
            raise ConversionError(f"it wraps a {way.kind}, expected LSTM, GRU or SimpleRNN")
        if way.options["go_backwards"] != bool(k):
            raise ConversionError(f"go_backwards of {way.name!r} is {not k}, expected {bool(k)}")
        if not way.options["return_sequences"]:
            raise ConversionError(
                "it answers with the last step of one direction and the first step of the other; "
                "expected return_sequences=True"
            )
        (cell,) = _cells(way)
        ways.append((_taken(walk, cell, len(x.columns)), size_of(cell, "units")))
    (kind, options, forward), units = ways[0]
    (*same, backward), other = ways[1]
    if (same, other) != ([kind, options], units):
        raise ConversionError("its two directions are not of one kind and size")
    part = BothPart(
        *(item.name, node.tensor, NOTHING, walk.source(), x.columns, 2 * units),
        *(kind, options, (forward, backward)),
    )
    return walk.keep(part, x)


def _check_steps(x: Value) -> None:
    if x.last:
        raise ConversionError("it reads one step")


def _taken(walk: Walk, cell: Item, inputs: int) -> tuple[type[Layer], dict[str, Any], Rows]:
    """Our layer, its options and its weights, as of `RecurrentPart`."""
    kind, order = CELLS[cell.kind]
    units = size_of(cell, "units")
    options = _options(kind, cell)
    gates = len(order) * units
    two = bool(options.get("linear_before_reset"))
    bias = [(2, gates) if two else (gates,)] * cell.options["use_bias"]
    W_x, W_h, *b = walk.weights(cell.path, [(inputs, gates), (units, gates), *bias])
    b_x, b_h = np.zeros((2, gates))
    if b:
        b_x, b_h = b[0] if two else (b[0], b_h)
    rows: Any = tuple(reordered(a, order) for a in (W_x.T, W_h.T, b_x, b_h))
    return kind, options, rows


def _cells(item: Item) -> list[Item]:
    """What an RNN layer computes in a step, one after the other."""
    if item.kind != "RNN":
        return [Item(f"{item.kind}Cell", item.name, f"{item.path}cell/", item.options)]
    (cell,) = item.inside
    cells = list(cell.inside) if cell.kind == "StackedRNNCells" else [cell]
    for inner in cells:
        if inner.kind not in CELLS:
            raise ConversionError(f"its cell is a {inner.kind}, expected {', '.join(CELLS)}")
    return cells


def _options(kind: type[Layer], cell: Item) -> dict[str, Any]:
    """Of our layer. Raises ConversionError for functions that it doesn't have."""
    activation = cell.options["activation"]
    if kind is Rnn and activation in ("tanh", "relu"):
        return {"activation": activation}
    if activation != "tanh":
        raise ConversionError(f"activation is {activation!r}, expected 'tanh'")
    if kind is Rnn:
        return {}
    if (function := cell.options["recurrent_activation"]) != "sigmoid":
        raise ConversionError(f"recurrent_activation is {function!r}, expected 'sigmoid'")
    return {"linear_before_reset": cell.options["reset_after"]} if kind is Gru else {}


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN"), recurrent),
    "Bidirectional": both,
}
