"""Operators on all features of a step together: norms, softmax, and those that are linear."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers.layer_norm import LayerNorm
from edge_lstm_runtime.layers.prelu import Prelu
from edge_lstm_runtime.layers.softmax import Softmax

from .. import Floats
from .._elements import Ids, by_step, step_of
from .._parts import MAX_MATRIX
from .nodes import arithmetic, finish, layer_part, linear, pointwise
from .trace import Node, Trace


def softmax(trace: Trace, node: Node) -> None:
    ids = trace.tensor(node, 0)
    axis = node.attributes.get("axis", -1 if trace.opset >= 13 else 1)
    _over_features(trace, node, ids, axis % ids.ndim, Softmax)


def layer_normalization(trace: Trace, node: Node) -> None:
    ids = trace.tensor(node, 0)
    axis = node.attributes.get("axis", -1)
    shape = ids.shape[axis % ids.ndim :]
    a = trace.constant(node, 1, "scale")
    b = trace.constant(node, 2, "bias") if node.input(2) else np.zeros(shape)
    epsilon = float(np.float32(node.attributes.get("epsilon", 1e-5)))
    _norm(trace, node, ids, axis % ids.ndim, (np.broadcast_to(a, shape), b), epsilon)


def divided(trace: Trace, node: Node) -> None:
    """(x - mean) / sqrt(variance + epsilon), which a file may have node by node."""
    if node.input(0) in trace.constants or node.input(1) in trace.constants:
        return arithmetic(trace, node)
    maker = trace.makers
    by = maker.get(node.input(1))
    over = maker.get(node.input(0))
    fault = ConversionError("it divides by a tensor: no layer does that")
    if by is None or by.op != "Sqrt" or over is None or over.op != "Sub":
        raise fault
    plus = maker.get(by.input(0))
    if plus is None or plus.op != "Add":
        raise fault
    names = [plus.input(0), plus.input(1)]
    given = [name for name in names if name in trace.constants]
    variance = [maker.get(name) for name in names if name not in trace.constants]
    if len(given) != 1 or variance[0] is None or trace.constants[given[0]].size != 1:
        raise fault
    square = maker.get(variance[0].input(0))
    centred = over if square is None else maker.get(square.input(0))
    axes = {_mean_axis(trace, maker.get(n.input(1)), n.input(0)) for n in (over, centred) if n}
    axes.add(_mean_axis(trace, variance[0], variance[0].input(0)))
    same = centred is not None and list(centred.proto.input) == list(over.proto.input)
    if not (same and square is not None and _is_square(trace, square) and len(axes) == 1):
        raise fault
    (axis,) = axes
    ids = trace.ids.get(over.input(0))
    if axis is None or ids is None or axis != ids.ndim - 1:
        raise fault
    n = ids.shape[-1]
    epsilon = float(trace.constants[given[0]].ravel()[0])
    _norm(trace, node, ids, axis, (np.ones(n), np.zeros(n)), epsilon)
    trace.waiting.pop(by.name, None)
    return None


def _is_square(trace: Trace, node: Node) -> bool:
    if node.op == "Mul":
        return node.input(0) == node.input(1)
    power = trace.constants.get(node.input(1))
    return node.op == "Pow" and power is not None and bool((power == 2).all())


def _mean_axis(trace: Trace, node: Node | None, of: str) -> int | None:
    """The axis of a ReduceMean of a tensor, None if it is none."""
    if node is None or node.op != "ReduceMean" or node.input(0) != of:
        return None
    axes = _axes(trace, node)
    ids = trace.ids.get(of)
    if axes is None or len(axes) != 1 or not node.attributes.get("keepdims", 1) or ids is None:
        return None
    return int(axes[0]) % ids.ndim


def _axes(trace: Trace, node: Node) -> list[int] | None:
    if node.input(1):
        return [int(axis) for axis in trace.constant(node, 1, "axes")]
    found: list[int] | None = node.attributes.get("axes")
    return found


def _norm(
    trace: Trace, node: Node, ids: Ids, axis: int, vectors: tuple[Floats, Floats], epsilon: float
) -> None:
    a, b = (vector.ravel() for vector in vectors)
    options = {"epsilon": epsilon}
    _over_features(trace, node, ids, axis, LayerNorm, options, {"a": a, "b": b})


def _over_features(  # noqa: PLR0913 - what a layer is
    trace: Trace,
    node: Node,
    ids: Ids,
    axis: int,
    kind: Any,
    options: dict[str, Any] | None = None,
    vectors: dict[str, Floats] | None = None,
) -> None:
    """A layer over the axes from `axis` on, which are all features of a step."""
    rows = ids.reshape(int(np.prod(ids.shape[:axis])), -1)
    if axis < ids.ndim - 1 and ids.shape[axis] != rows.shape[1] and kind is Softmax:
        raise ConversionError(f"its axis {axis} of shape {ids.shape} is not the last one")
    order, steps, pattern = by_step(rows)
    if len(pattern) != 1:
        raise ConversionError(
            f"it normalizes {len(pattern)} parts of a step, expected 1: all of it"
        )
    found = layer_part(
        trace, node, kind, (pattern[0],), (order, steps, len(rows)), options, vectors
    )
    finish(trace, node, found.reshape(ids.shape))


def batch_normalization(trace: Trace, node: Node) -> None:
    ids = trace.tensor(node, 0)
    if node.attributes.get("training_mode", 0) or len(node.proto.output) > 1:
        raise ConversionError("it is in training mode; export the net in evaluation mode")
    scale, bias, mean, variance = (trace.constant(node, k, "statistics") for k in range(1, 5))
    a = scale / np.sqrt(variance + np.float32(node.attributes.get("epsilon", 1e-5)))
    shape = [-1 if axis == 1 else 1 for axis in range(ids.ndim)]
    pointwise(trace, node, ids, a.reshape(shape), (bias - mean * a).reshape(shape))


def prelu(trace: Trace, node: Node) -> None:
    ids = trace.tensor(node, 0)
    slope: Floats = np.array(node.attributes.get("alpha", 0.01))
    if node.op == "PRelu":
        slope = trace.constant(node, 1, "slope")
    slopes = np.broadcast_to(slope, ids.shape)
    order, steps, pattern = by_step(ids.reshape(-1, 1))
    each = slopes.ravel()[order]
    if (each != each[0]).any():
        raise ConversionError("its slope is another one at each step")
    places = (order, steps, ids.size)
    found = layer_part(
        trace, node, Prelu, (pattern.ravel(),), places, None, {"slope": each[0].ravel()}
    )
    finish(trace, node, found.reshape(ids.shape))


def negative(trace: Trace, node: Node) -> None:
    pointwise(trace, node, trace.tensor(node, 0), -1.0, 0.0)


def mean(trace: Trace, node: Node) -> None:
    """Over features."""
    ids = trace.tensor(node, 0)
    axes = _axes(trace, node)
    if axes is None or len(axes) != 1:
        raise ConversionError(f"it pools over the axes {axes}, expected one")
    moved = np.moveaxis(ids, axes[0], -1)
    n = moved.shape[-1]
    found = linear(trace, node, moved.reshape(-1, n), np.full((n, 1), 1 / n), np.zeros(1))
    shaped = found.reshape(*moved.shape[:-1], 1)
    kept = bool(node.attributes.get("keepdims", 1))
    finish(trace, node, np.moveaxis(shaped, -1, axes[0]) if kept else shaped[..., 0])


def convolution(trace: Trace, node: Node) -> None:
    """Inside of a step: a dense layer, with zeros for what a place doesn't read."""
    ids = trace.tensor(node, 0)
    W = trace.constant(node, 1, "kernel")
    get = node.attributes.get
    size = W.shape[2:]
    rank = len(size)
    if ids.ndim != rank + 2 or ids.shape[0] != 1 or get("auto_pad", "NOTSET") not in PADDINGS:
        raise ConversionError(f"it reads shape {ids.shape}, auto_pad {get('auto_pad')}: not taken")
    b = trace.constant(node, 2, "bias") if node.input(2) else np.zeros(len(W))
    strides, dilations = (get(name, [1] * rank) for name in ("strides", "dilations"))
    padded, missing = _padded(ids[0], get("pads", [0] * 2 * rank))
    counts = [
        (padded.shape[1 + k] - dilations[k] * (size[k] - 1) - 1) // strides[k] + 1
        for k in range(rank)
    ]
    group = get("group", 1)
    outputs, inputs = len(W) // group, W.shape[1]
    taps = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1).reshape(-1, rank)
    places = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, rank)
    at = places[:, None] * strides + taps * dilations  # (places, taps, rank)
    patches = padded[(slice(None), *np.moveaxis(at, -1, 0))]  # (inputs of all groups, places, taps)
    real = patches[patches != missing]
    columns = np.unique(real)
    if len(columns) * len(W) * len(places) > MAX_MATRIX:
        raise ConversionError(
            f"it becomes a matrix of {len(columns):,} by {len(W) * len(places):,} values, too large"
        )
    if not len(columns) or len(np.unique(step_of(columns))) != 1:
        raise ConversionError("it is a convolution over the steps: not taken from ONNX yet")
    M: Floats = np.zeros((len(columns), len(W), len(places)))
    for g in range(group):
        for out in range(g * outputs, (g + 1) * outputs):
            for k in range(inputs):
                some = patches[g * inputs + k]  # (places, taps)
                there = some != missing
                rows = np.searchsorted(columns, some[there])
                place, tap = np.nonzero(there)
                np.add.at(M[:, out], (rows, place), W[out, k].reshape(-1)[tap])
    flat = M.reshape(len(columns), -1)
    found = linear(trace, node, columns[None], flat, np.repeat(b, len(places)))
    finish(trace, node, found.reshape(1, len(W), *counts))


PADDINGS = ("NOTSET", "VALID")


def _padded(ids: Ids, pads: list[int]) -> tuple[Ids, int]:
    """With a number that is no value where a zero stands."""
    missing = -1
    rank = ids.ndim - 1
    widths = [(0, 0), *((pads[k], pads[k + rank]) for k in range(rank))]
    return np.pad(ids, widths, constant_values=missing), missing


HANDLERS = {
    "Softmax": softmax,
    "LayerNormalization": layer_normalization,
    "BatchNormalization": batch_normalization,
    **dict.fromkeys(("PRelu", "LeakyRelu"), prelu),
    "Neg": negative,
    "Div": divided,
    "ReduceMean": mean,
    "Conv": convolution,
}
