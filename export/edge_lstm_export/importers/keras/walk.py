"""What the layers of a Keras model become here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_lstm_runtime.errors import BundleError, ConversionError
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.dense import Activation
from edge_lstm_runtime.layers.gru import Gru
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.layers.rnn import Rnn
from edge_lstm_runtime.model.network import Network
from edge_lstm_runtime.shown import in_a_line

from .. import Float32, Floats, Foreign
from .._elements import Ids, elements, source_of
from .._parts import DensePart, Part, RecurrentPart, X, joined, layers, needed
from .._rows import reordered
from .archive import Archive, load
from .config import COMBINED, MODELS, Item, Reader, Ref
from .original import Keras

ACTIVATIONS: dict[str, Activation] = {
    "linear": "none",
    "tanh": "tanh",
    "relu": "relu",
    "sigmoid": "sigmoid",
}
# Class of a cell -> our layer, and for each of our gates the place of Keras's: i, f, c, o and
# z, r, h.
CELLS: dict[str, tuple[type[Layer], tuple[int, ...]]] = {
    "LSTMCell": (Lstm, (0, 1, 2, 3)),
    "GRUCell": (Gru, (1, 0, 2)),
    "SimpleRNNCell": (Rnn, (0,)),
}
SAME = ("Dropout", "SpatialDropout1D")
NOTHING: Ids = np.empty(0, np.int64)


class Value(NamedTuple):
    """columns: (n,) the origins of a tensor's features. last: whether it is one step alone."""

    columns: Ids
    last: bool = False


def foreign(path: Path) -> Foreign:
    """As `read` of this package."""
    try:
        return _foreign(load(path))
    except (BundleError, ConversionError) as e:
        raise ConversionError(f"{path}: {in_a_line(str(e))}") from e


def _foreign(archive: Archive) -> Foreign:
    model = Reader().model(archive.config)
    entry = next((item for item in model.inside if item.kind == "InputLayer"), None)
    if entry is None:
        raise ConversionError("the model has no input of a known shape; build it, and save it")
    features = entry.shape[2]
    assert features is not None
    walk = Walk(archive.arrays)
    y = walk.model(model, Value(elements(X, 0, np.arange(features))))
    if walk.faults or y is None:
        raise ConversionError("; ".join(walk.faults))
    parts = walk.result(y)
    if not any(isinstance(part, RecurrentPart) for part in parts):
        raise ConversionError("no layer of it has a state: it is no recurrent net")
    found, weights = layers(parts, features)
    told = {
        layer.name: part.tensor for layer, part in zip(found, parts, strict=True) if part.tensor
    }
    nodes = {layer.name: part.node for layer, part in zip(found, parts, strict=True)}
    original = Keras(model, archive.h5, told, found[-1].name)
    network = Network(features, tuple(found))
    return Foreign(network, weights, original, nodes, notes=_notes(model, entry, last=y.last))


def _notes(model: Item, entry: Item, *, last: bool) -> tuple[str, ...]:
    found = []
    if last:
        found.append("The file answers after its last step alone, and here at each step")
    if (entry.shape[0] or 1) > 1:
        found.append(f"The file takes {entry.shape[0]} streams at once, and here it is 1")
    if not any(item.options.get("stateful") for item in model.inside):
        found.append(
            "The file starts its states at zero in each call, and here they are carried from step "
            "to step"
        )
    if rest := [name for name, _, _ in model.outputs[1:]]:
        found.append(f"These outputs of the file are left out: {', '.join(rest)}")
    return tuple(found)


class Walk:
    """arrays: of the file of weights. parts: what was found. faults: a sentence each."""

    def __init__(self, arrays: dict[str, Float32]) -> None:
        self.arrays = arrays
        self.parts: list[Part] = []
        self.faults: list[str] = []
        self.sources = X
        self.depth = 0

    def model(self, model: Item, x: Value) -> Value | None:
        """The first output, None if it is after a layer that can't be taken."""
        values: dict[Ref, Value | None] = {}
        self.depth += 1
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
        self.depth -= 1
        if not model.outputs or model.outputs[0] not in values:
            raise ConversionError(f"the output of the model {model.name!r} is not there")
        return values[model.outputs[0]]

    def result(self, y: Value) -> list[Part]:
        """The layers in the making. The last one's outputs are y."""
        source = int(source_of(y.columns)[0])
        last = next((part for part in self.parts if part.source == source), None)
        if last is None or not np.array_equal(
            y.columns, elements(source, 0, np.arange(last.units))
        ):
            y = self._scaled("output", "", y, np.ones(len(y.columns)), np.zeros(len(y.columns)))
        return joined(needed(self.parts, [int(source_of(y.columns)[0])]))

    def _call(self, item: Item, values: Sequence[Value | None]) -> Value | None:
        given = [value for value in values if value is not None]
        if len(given) < len(values):
            return None
        # Keras tells the output of a layer by its name, if it has one.
        tensor = item.name if len(item.calls) < 2 and self.depth == 1 else ""
        try:
            if len({value.last for value in given}) > 1:
                raise ConversionError("it reads all steps, and the last one alone")
            return self._made(item, given, tensor)
        except ConversionError as e:
            self.faults.append(f"{item.kind} {item.name!r} can't be taken: {e}")
            return None

    def _made(self, item: Item, given: Sequence[Value], tensor: str) -> Value | None:
        x = given[0]
        if item.kind in COMBINED:
            return self._combined(item, given, tensor)
        if len(given) != 1:
            raise ConversionError(f"it reads {len(given)} tensors, expected 1")
        if item.kind in SAME:
            return x
        if item.kind in MODELS:
            return self.model(item, x)
        if item.kind == "TimeDistributed":
            (inner,) = item.inside
            if inner.kind not in ("Dense", "Activation", "ReLU", *SAME):
                raise ConversionError(f"there is no layer for a {inner.kind} at each step")
            return self._made(inner, given, tensor)
        if item.kind == "Dense":
            return self._dense(item, x, tensor)
        if item.kind == "BatchNormalization":
            return self._normalized(item, x, tensor)
        if item.kind in ("Activation", "ReLU"):
            kind = "relu" if item.kind == "ReLU" else item.options["activation"]
            if item.kind == "ReLU" and any(item.options.values()):
                raise ConversionError(f"it has {dict(item.options)}, expected a plain ReLU")
            size = len(x.columns)
            return self._scaled(item.name, tensor, x, np.ones(size), np.zeros(size), _known(kind))
        return self._recurrent(item, x, tensor)

    def _combined(self, item: Item, given: Sequence[Value], tensor: str) -> Value:
        columns = np.concatenate([value.columns for value in given])
        if item.kind == "Concatenate":
            rank = 2 if given[0].last else 3
            if item.options["axis"] not in (-1, rank - 1):
                raise ConversionError(f"axis is {item.options['axis']}, expected -1, the features")
            return Value(columns, given[0].last)
        sizes = [len(value.columns) for value in given]
        if len(set(sizes)) > 1:
            raise ConversionError(f"it reads tensors of unequal sizes: {sizes}")
        factors = np.full(len(given), 1 / len(given) if item.kind == "Average" else 1.0)
        if item.kind == "Subtract":
            factors[1:] = -1
        W = np.concatenate([factor * np.eye(sizes[0]) for factor in factors])
        x = Value(columns, given[0].last)
        return self._scaled(item.name, tensor, x, W, np.zeros(sizes[0]))

    def _scaled(
        self,
        node: str,
        tensor: str,
        x: Value,
        W: Floats,
        b: Floats,
        activation: Activation = "none",
    ) -> Value:
        """A dense layer. W: (n, units), or (n,) the diagonal."""
        self.sources += 1
        self.parts.append(
            DensePart(node, tensor, NOTHING, self.sources, x.columns, len(b), W, b, activation)
        )
        return Value(elements(self.sources, 0, np.arange(len(b))), x.last)

    def _dense(self, item: Item, x: Value, tensor: str) -> Value:
        units = _units(item)
        bias = item.options["use_bias"]
        W, *b = self._weights(item.path, [(len(x.columns), units), *[(units,)] * bias])
        activation = _known(item.options["activation"])
        return self._scaled(item.name, tensor, x, W, b[0] if b else np.zeros(units), activation)

    def _normalized(self, item: Item, x: Value, tensor: str) -> Value:
        """(x - mean) / sqrt(variance + epsilon) * gamma + beta, per feature."""
        options = item.options
        if options["axis"] not in (-1, 1 if x.last else 2):
            raise ConversionError(f"axis is {options['axis']}, expected -1, the features")
        size = len(x.columns)
        scales = options["scale"] + options["center"]
        found = self._weights(item.path, [(size,)] * (2 + scales))
        gamma = found.pop(0) if options["scale"] else np.ones(size)
        beta = found.pop(0) if options["center"] else np.zeros(size)
        mean, variance = found
        with np.errstate(all="ignore"):
            W = gamma / np.sqrt(variance + options["epsilon"])
        if not np.isfinite(W).all():
            raise ConversionError("its variances are not positive")
        return self._scaled(item.name, tensor, x, W, beta - mean * W)

    def _weights(self, path: str, shapes: Sequence[tuple[int, ...]]) -> list[Floats]:
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

    def _recurrent(self, item: Item, x: Value, tensor: str) -> Value:
        if item.options["go_backwards"]:
            raise ConversionError("go_backwards needs the whole sequence at once")
        if x.last:
            raise ConversionError("it reads one step")
        cells = _cells(item)
        for k, cell in enumerate(cells):
            at_end = k == len(cells) - 1
            x = self._cell(cell, x, item.name, tensor if at_end else "")
        return Value(x.columns, not item.options["return_sequences"])

    def _cell(self, cell: Item, x: Value, node: str, tensor: str) -> Value:
        kind, order = CELLS[cell.kind]
        units = _units(cell)
        options = _options(kind, cell)
        gates = len(order) * units
        two = bool(options.get("linear_before_reset"))
        bias = [(2, gates) if two else (gates,)] * cell.options["use_bias"]
        W_x, W_h, *b = self._weights(cell.path, [(len(x.columns), gates), (units, gates), *bias])
        b_x, b_h = np.zeros((2, gates))
        if b:
            b_x, b_h = b[0] if two else (b[0], b_h)
        self.sources += 1
        rows = (reordered(a, order) for a in (W_x.T, W_h.T, b_x, b_h))
        self.parts.append(
            RecurrentPart(
                node,
                tensor,
                NOTHING,
                self.sources,
                x.columns,
                units,
                kind,
                options,
                tuple(rows),  # type: ignore[arg-type]
                operator=0,
            )
        )
        return Value(elements(self.sources, 0, np.arange(units)))


def _units(item: Item) -> int:
    units: int = item.options["units"]
    if units < 1:
        raise ConversionError(f"units is {units}, expected 1 or more")
    return units


def _known(activation: str) -> Activation:
    if activation not in ACTIVATIONS:
        raise ConversionError(
            f"activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[activation]


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
