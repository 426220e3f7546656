"""What the operators become: dense and recurrent layers, or origins that are moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.dense import Activation
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.layers.rnn import Rnn

from .. import Floats
from .._elements import Ids, by_step, elements, step_of
from .._parts import MAX_MATRIX, ConvPart, RecurrentPart
from .file import Operator
from .pointwise import HANDLERS as POINTWISE
from .pointwise import LITERT, fused
from .walk import Walk

# Inputs of UNIDIRECTIONAL_SEQUENCE_LSTM: for each gate i, f, g, o the matrices and the bias.
W_X = (1, 2, 3, 4)
W_H = (5, 6, 7, 8)
BIAS = (12, 13, 14, 15)
LSTM_STATES = (18, 19)
SPECIAL = {"peephole": (9, 10, 11), "projection": (16, 17), "layer normalization": (20, 21, 22, 23)}


def lstm(walk: Walk, operator: Operator, name: str) -> None:
    for what, places in SPECIAL.items():
        if any(walk.input(operator, place) >= 0 for place in places):
            raise ConversionError(f"it has a {what}, which there is no layer for")
    if walk.input(operator, W_X[0]) < 0:
        raise ConversionError("it has no input gate (CIFG), which there is no layer for")
    fused(operator, ("tanh",))
    x = walk.input(operator, 0)
    matrices = [
        [walk.constant(operator, place, f"input {place}") for place in places]
        for places in (W_X, W_H)
    ]
    # The bias of an int8 layer has the scale of its products with x.
    scales = [_product_scale(walk, x, walk.input(operator, place)) for place in W_X]
    b = [
        walk.constant(operator, place, f"input {place}", scale)
        for place, scale in zip(BIAS, scales, strict=True)
    ]
    _keep_states(walk, operator, name, LSTM_STATES, len(b[0]))
    if operator.options.cellClip:
        walk.clips[walk.input(operator, LSTM_STATES[1])] = (name, float(operator.options.cellClip))
    W_x, W_h = (_stacked(m) for m in matrices)
    _recurrent(walk, operator, name, Lstm, (W_x, W_h, _stacked(b)), {})


def rnn(walk: Walk, operator: Operator, name: str) -> None:
    activation = fused(operator, ("tanh", "relu"))
    W_x, W_h, b = (walk.constant(operator, k, f"input {k}") for k in (1, 2, 3))
    _keep_states(walk, operator, name, (4,), len(b))
    _recurrent(walk, operator, name, Rnn, (W_x, W_h, b), {"activation": activation})


def _product_scale(walk: Walk, x: int, weight: int) -> float:
    scales = [walk.tensor(place).scale for place in (x, weight)]
    return float(scales[0][0]) * float(scales[1][0]) if all(s.size == 1 for s in scales) else 0.0


def _stacked(blocks: list[Floats]) -> Floats:
    if len({block.shape for block in blocks}) > 1:
        raise ConversionError(f"its gates have the shapes {[block.shape for block in blocks]}")
    return np.concatenate(blocks)


def _keep_states(
    walk: Walk, operator: Operator, name: str, places: tuple[int, ...], units: int
) -> None:
    for place in places:
        at = walk.input(operator, place)
        if at < 0 or not walk.tensor(at).variable or walk.tensor(at).data is not None:
            raise ConversionError("its state is no variable of the file")
        if at in walk.states:
            raise ConversionError("its state is the state of another layer too")
        if walk.tensor(at).shape != (1, units):
            raise ConversionError(
                f"its state has the shape {walk.tensor(at).shape}, expected {(1, units)}"
            )
        walk.states[at] = name


def _recurrent(
    walk: Walk,
    operator: Operator,
    name: str,
    kind: type[Layer],
    weights: tuple[Floats, Floats, Floats],
    options: dict[str, Any],
) -> None:
    W_x, W_h, b = weights
    x = walk.moved(operator)
    rows, units = W_h.shape
    gates = 4 if kind is Lstm else 1
    if W_x.ndim != 2 or rows != gates * units or len(W_x) != rows or b.shape != (rows,):
        shapes = [w.shape for w in weights]
        raise ConversionError(f"its weights have the shapes {shapes}")
    batch = 1 if operator.options.timeMajor else 0
    if x.ndim != 3 or x.shape[batch] != 1 or x.shape[2] != W_x.shape[1]:
        raise ConversionError(
            f"it reads the shape {x.shape}, expected (1, steps, {W_x.shape[1]}): one stream"
        )
    steps = np.take(x, 0, batch)  # (T, n)
    if len(steps) != walk.steps or (step_of(steps) != np.arange(walk.steps)[:, None]).any():
        raise ConversionError(f"it reads {len(steps)} steps, and the net has {walk.steps}")
    pattern = by_step(steps).pattern[0]
    source = walk.source()
    y = np.expand_dims(elements(source, np.arange(walk.steps)[:, None], np.arange(units)), batch)
    part = RecurrentPart(
        name,
        str(operator.outputs[0]),
        y,
        source,
        pattern,
        units,
        kind,
        options,
        (W_x, W_h, b, np.zeros_like(b)),
        operator=0,
    )
    walk.finish(operator, y)
    walk.parts.append(part)


def dense(walk: Walk, operator: Operator, name: str) -> None:
    if operator.options.weightsFormat:
        raise ConversionError("its weights are shuffled")
    activation = fused(operator, LITERT)
    W = walk.constant(operator, 1, "matrix").T
    scale = _product_scale(walk, operator.inputs[0], operator.inputs[1])
    b = np.zeros(W.shape[1])
    if walk.input(operator, 2) >= 0:
        b = walk.constant(operator, 2, "bias", scale)
    x = walk.moved(operator)
    rows = x.reshape(-1, len(W))
    if b.shape != (W.shape[1],):
        raise ConversionError(f"its bias has the shape {b.shape}, expected {(W.shape[1],)}")
    if len(np.unique(step_of(rows[0]))) > 1:
        return _window(walk, operator, (name, rows, W, b), activation)
    order, steps, pattern = by_step(rows)
    if W.size * len(pattern) ** 2 > MAX_MATRIX:
        raise ConversionError(f"its matrix is too large: {len(pattern)} times {W.shape}")
    weights = (np.kron(np.eye(len(pattern)), W), np.tile(b, len(pattern)))
    found = walk.dense(operator, name, (pattern.ravel(), *weights), activation)
    units = found.reshape(len(pattern), -1)
    ids = np.empty((len(rows), units.shape[1]), np.int64)
    ids[order] = units + elements(0, steps, 0)[:, None, None]
    return walk.done(operator, ids.reshape(walk.tensor(operator.outputs[0]).shape))


def _window(
    walk: Walk,
    operator: Operator,
    layer: tuple[str, Ids, Floats, Floats],
    activation: Activation,
) -> None:
    """A matrix for the last steps of a call, side by side: a convolution over the steps.

    layer: name, rows, W and b.
    """
    name, rows, W, b = layer
    if len(rows) > 1:
        raise ConversionError(f"it reads {len(rows)} windows of several steps, expected 1")
    steps = step_of(rows[0])
    first = int(steps.min())
    if steps.max() != walk.steps - 1:
        raise ConversionError(f"it reads steps {first} to {steps.max()}, without the last one")
    columns, places = np.unique(rows[0] - elements(0, steps, 0), return_inverse=True)
    kernel = walk.steps - first
    if kernel * len(columns) * len(b) > MAX_MATRIX:
        raise ConversionError(f"its matrix is too large: {W.shape}")
    taps: Floats = np.zeros((kernel, len(columns), len(b)))
    np.add.at(taps, (steps - first, places.ravel()), W)
    source = walk.source()
    ids = elements(source, walk.steps - 1, np.arange(len(b)))
    ids = ids.reshape(walk.tensor(operator.outputs[0]).shape)
    part = ConvPart(
        *(name, str(operator.outputs[0]), ids, source, columns, len(b), taps, b),
        activation=activation,
    )
    walk.parts.append(part)
    walk.windows.append(operator)
    walk.done(operator, ids)


# --- moves ---


def reshape(walk: Walk, operator: Operator, name: str) -> None:  # noqa: ARG001
    ids = walk.moved(operator)
    walk.finish(operator, ids.reshape(walk.tensor(operator.outputs[0]).shape))


def transpose(walk: Walk, operator: Operator, name: str) -> None:  # noqa: ARG001
    order = walk.whole(operator, 1, "order")
    walk.finish(operator, walk.moved(operator).transpose(order.tolist()))


def strided_slice(walk: Walk, operator: Operator, name: str) -> None:  # noqa: ARG001
    ids = walk.moved(operator)
    begin, end, stride = (
        walk.whole(operator, k, what) for k, what in ((1, "begin"), (2, "end"), (3, "stride"))
    )
    options = operator.options
    if options.ellipsisMask or options.newAxisMask or options.offset or len(begin) != ids.ndim:
        raise ConversionError("it slices in a way that is not taken")
    places: list[Any] = []
    for axis in range(ids.ndim):
        first = None if options.beginMask >> axis & 1 else int(begin[axis])
        last = None if options.endMask >> axis & 1 else int(end[axis])
        shrunk = options.shrinkAxisMask >> axis & 1
        places.append(int(begin[axis]) if shrunk else slice(first, last, int(stride[axis])))
    found = ids[tuple(places)]
    end_of = [np.count_nonzero(step_of(a) == walk.steps - 1) for a in (ids, found)]
    if end_of[0] != end_of[1]:
        raise ConversionError(
            "it takes a part of a step's values, or other steps than the last one"
        )
    walk.finish(operator, found)


def concatenation(walk: Walk, operator: Operator, name: str) -> None:  # noqa: ARG001
    fused(operator, ("none",))
    every = [walk.moved(operator, k) for k in range(len(operator.inputs))]
    walk.finish(operator, np.concatenate(every, axis=operator.options.axis))


def copy(walk: Walk, operator: Operator, name: str) -> None:  # noqa: ARG001
    """QUANTIZE and DEQUANTIZE: the same values in another number format."""
    (place,) = operator.inputs
    (output,) = operator.outputs
    walk.same[output] = walk.same.get(place, place)
    if place in walk.ids:
        walk.finish(operator, walk.ids[place])
    else:
        walk.constants[output] = walk.constant(operator, 0, "input")


HANDLERS: dict[str, Callable[[Walk, Operator, str], None]] = {
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": rnn,
    "FULLY_CONNECTED": dense,
    **POINTWISE,
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), reshape),
    "TRANSPOSE": transpose,
    "STRIDED_SLICE": strided_slice,
    "CONCATENATION": concatenation,
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE"), copy),
}
