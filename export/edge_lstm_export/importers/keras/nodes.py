"""What layers without a recurrence become."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers.combine import Combine
from edge_lstm_runtime.layers.dense import Activation
from edge_lstm_runtime.layers.embedding import Embedding
from edge_lstm_runtime.layers.layer_norm import LayerNorm
from edge_lstm_runtime.layers.prelu import Prelu
from edge_lstm_runtime.layers.softmax import Softmax

from .. import Floats
from .._parts import MAX_MATRIX, ConvPart
from .config import Item
from .walk import NOTHING, Handler, Node, Value, Walk

ACTIVATIONS: dict[str, Activation] = {
    "linear": "none",
    "tanh": "tanh",
    "relu": "relu",
    "sigmoid": "sigmoid",
}
OTHERS = ("softmax", "leaky_relu", "relu6", "hard_sigmoid", "silu", "swish")
SLOPE = 0.2  # of the activation leaky_relu
IDENTITIES = ("Dropout", "SpatialDropout1D")
AT_EACH_STEP = (
    *("Dense", "Activation", "ReLU", "LeakyReLU", "PReLU", "Softmax", "LayerNormalization"),
    *("BatchNormalization", "Rescaling", *IDENTITIES),
)


def size_of(item: Item, option: str) -> int:
    size: int = item.options[option]
    if size < 1:
        raise ConversionError(f"{option} is {size}, expected 1 or more")
    return size


def same(walk: Walk, node: Node, given: Sequence[Value]) -> Value:  # noqa: ARG001
    return given[0]


def at_each_step(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    (inner,) = node.item.inside
    if inner.kind not in AT_EACH_STEP:
        raise ConversionError(f"there is no layer for a {inner.kind} at each step")
    one = [value._replace(last=True) for value in given]
    return walk.made(Node(inner, node.tensor), one)._replace(last=given[0].last)


# --- functions ---


def activated(walk: Walk, node: Node, x: Value, function: str) -> Value:
    """A function of Keras, by its name. Raises ConversionError."""
    hidden = Node(node.item, "")
    if function in ACTIVATIONS:
        return scaled(walk, node, x, (1.0, 0.0), ACTIVATIONS[function])
    if function == "softmax":
        return walk.layer(node, [x], len(x.columns), Softmax)
    if function == "leaky_relu":
        return _sloped(walk, node, x, SLOPE)
    if function == "relu6":
        return _at_most(walk, node, scaled(walk, hidden, x, (1.0, 0.0), "relu"), 6.0)
    if function == "hard_sigmoid":
        return _at_most(walk, node, scaled(walk, hidden, x, (1 / 6, 0.5), "relu"), 1.0)
    if function in ("silu", "swish"):
        gate = scaled(walk, hidden, x, (1.0, 0.0), "sigmoid")
        return walk.layer(node, [x, gate], len(x.columns), Combine, {"operation": "mul"})
    expected = ", ".join((*ACTIVATIONS, *OTHERS))
    raise ConversionError(f"activation is {function!r}, expected one of {expected}")


def scaled(
    walk: Walk,
    node: Node,
    x: Value,
    factors: tuple[float | Floats, float | Floats],
    activation: Activation = "none",
) -> Value:
    """activation(a x + b). factors: a and b, numbers or (n,)."""
    a, b = (np.broadcast_to(np.float64(f), x.columns.shape) for f in factors)
    return walk.matrix(node, x, a, b, activation)


def _sloped(walk: Walk, node: Node, x: Value, slope: float | Floats) -> Value:
    slopes = np.broadcast_to(np.float64(slope), x.columns.shape)
    return walk.layer(node, [x], len(slopes), Prelu, vectors={"slope": slopes})


def _at_most(walk: Walk, node: Node, x: Value, limit: float) -> Value:
    """min(x, limit) = limit - relu(limit - x)"""
    below = scaled(walk, Node(node.item, ""), x, (-1.0, limit), "relu")
    return scaled(walk, node, below, (-1.0, limit))


def activation(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    return activated(walk, node, given[0], node.item.options["activation"])


def relu(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    options = {name: value or 0.0 for name, value in node.item.options.items()}
    if options["threshold"]:
        raise ConversionError(f"threshold is {options['threshold']:g}, expected 0")
    limit = node.item.options["max_value"]
    if limit is not None and limit < 0:
        raise ConversionError(f"max_value is {limit:g}, expected 0 or more")
    inner = node if limit is None else Node(node.item, "")
    slope = options["negative_slope"]
    if slope:
        y = _sloped(walk, inner, given[0], slope)
    else:
        y = scaled(walk, inner, given[0], (1.0, 0.0), "relu")
    return y if limit is None else _at_most(walk, node, y, limit)


def leaky_relu(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    return _sloped(walk, node, given[0], node.item.options["negative_slope"] or 0.0)


def prelu(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    (x,) = given
    size = len(x.columns)
    shared = node.item.options["shared_axes"] or []
    if not x.last and 1 not in shared:
        raise ConversionError(
            "it has other slopes at each step; expected shared_axes=[1], the steps"
        )
    array = walk.arrays.get(f"{node.item.path}vars/0", np.empty(0))
    shape = array.shape
    if shape[-1:] not in ((size,), (1,)) or array.size not in (size, 1):
        raise ConversionError(f"its slopes have the shape {shape}, expected {size} or 1")
    (slopes,) = walk.weights(node.item.path, [shape])
    return _sloped(walk, node, x, slopes.ravel())


def softmax(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    _check_axis(node, given[0])
    return activated(walk, node, given[0], "softmax")


def rescaled(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    options = node.item.options
    return scaled(walk, node, given[0], (options["scale"] or 0.0, options["offset"] or 0.0))


# --- products and norms ---


def dense(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    (x,) = given
    item = node.item
    units = size_of(item, "units")
    bias = item.options["use_bias"]
    W, *b = walk.weights(item.path, [(len(x.columns), units), *[(units,)] * bias])
    return _product(walk, node, x, W, b[0] if b else np.zeros(units))


def _product(walk: Walk, node: Node, x: Value, W: Floats, b: Floats) -> Value:
    function = node.item.options["activation"]
    if function in ACTIVATIONS:
        return walk.matrix(node, x, W, b, ACTIVATIONS[function])
    return activated(walk, node, walk.matrix(Node(node.item, ""), x, W, b), function)


def batch_normalization(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, per feature."""
    (x,) = given
    options = node.item.options
    _check_axis(node, x)
    size = len(x.columns)
    count = 2 + options["scale"] + options["center"]
    found = walk.weights(node.item.path, [(size,)] * count)
    gamma = found.pop(0) if options["scale"] else np.ones(size)
    beta = found.pop(0) if options["center"] else np.zeros(size)
    mean, variance = found
    with np.errstate(all="ignore"):
        a = gamma / np.sqrt(variance + (options["epsilon"] or 0.0))
    if not np.isfinite(a).all():
        raise ConversionError("its variances are not positive")
    return scaled(walk, node, x, (a, beta - mean * a))


def layer_normalization(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    (x,) = given
    options = node.item.options
    _check_axis(node, x)
    if options["rms_scaling"]:
        raise ConversionError("rms_scaling is True, which there is no layer for")
    epsilon = options["epsilon"] or 0.0
    if not 0 < epsilon < 1:
        raise ConversionError(f"epsilon is {epsilon}, expected more than 0 and less than 1")
    size = len(x.columns)
    count = options["scale"] + options["center"]
    found = walk.weights(node.item.path, [(size,)] * count) if count else []
    a = found.pop(0) if options["scale"] else np.ones(size)
    b = found.pop(0) if options["center"] else np.zeros(size)
    vectors = {"a": a, "b": b}
    return walk.layer(node, [x], size, LayerNorm, {"epsilon": float(epsilon)}, vectors)


def _check_axis(node: Node, x: Value) -> None:
    """Raises ConversionError unless it is the axis of the features."""
    axis = node.item.options["axis"]
    axes = axis if isinstance(axis, list) else [axis]
    if axes not in ([-1], [1 if x.last else 2]):
        raise ConversionError(f"axis is {axis}, expected -1, the features")


# --- several tensors ---


def combined(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    kind = node.item.kind
    columns = np.concatenate([value.columns for value in given])
    if kind == "Concatenate":
        rank = 2 if given[0].last else 3
        if node.item.options["axis"] not in (-1, rank - 1):
            raise ConversionError(f"axis is {node.item.options['axis']}, expected -1, the features")
        return Value(columns, given[0].last)
    sizes = [len(value.columns) for value in given]
    if len(set(sizes)) > 1:
        raise ConversionError(f"it reads tensors of unequal sizes: {sizes}")
    if kind in ("Add", "Multiply"):
        operation = "add" if kind == "Add" else "mul"
        return walk.layer(node, given, sizes[0], Combine, {"operation": operation})
    if len(columns) * sizes[0] > MAX_MATRIX:
        raise ConversionError(f"it reads {len(columns):,} values, too many")
    factors = np.full(len(given), 1 / len(given) if kind == "Average" else 1.0)
    if kind == "Subtract":
        factors[1:] = -1
    W = np.concatenate([factor * np.eye(sizes[0]) for factor in factors])
    return walk.matrix(node, Value(columns, given[0].last), W, np.zeros(sizes[0]))


# --- steps and numbers ---


def embedding(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    (x,) = given
    item = node.item
    if not x.number:
        raise ConversionError(
            "it looks up several numbers at a step, expected keras.Input((None,))"
        )
    if item.options["mask_zero"]:
        raise ConversionError("mask_zero is True: it skips steps, and here each step counts")
    count, units = (size_of(item, option) for option in ("input_dim", "output_dim"))
    (W,) = walk.weights(item.path, [(count, units)])
    walk.counts[0] = min(count, walk.counts.get(0, count))
    options = {"count": count, "units": units}
    return walk.layer(node, [x], units, Embedding, options, {"W": W})


def zeros_before(walk: Walk, node: Node, given: Sequence[Value]) -> Value:  # noqa: ARG001
    (x,) = given
    padding = node.item.options["padding"] or []
    if x.last or len(padding) != 2 or min(padding) < 0:
        raise ConversionError(f"padding is {padding}, expected (n, 0): before the first step")
    if padding[1]:
        raise ConversionError(
            f"it pads {padding[1]} steps behind the last one, so a convolution reads as many steps "
            "ahead: pad all of them in front"
        )
    return x._replace(before=padding[0])


def convolution(walk: Walk, node: Node, given: Sequence[Value]) -> Value:
    """Over the steps, if it reads no later ones."""
    (x,) = given
    item = node.item
    options = item.options
    plain = {"strides": [1], "data_format": "channels_last"}
    for name, expected in plain.items():
        if options[name] != expected:
            raise ConversionError(f"{name} is {options[name]}, expected {expected}")
    units, groups = (size_of(item, option) for option in ("filters", "groups"))
    sizes = (options["kernel_size"], options["dilation_rate"])
    if x.last or any(size is None or len(size) != 1 or size[0] < 1 for size in sizes):
        raise ConversionError(f"kernel_size and dilation_rate are {sizes}, expected one axis")
    kernel, dilation = (size[0] for size in sizes)
    _check_reach((kernel - 1) * dilation, x.before, options["padding"])
    inputs = len(x.columns)
    if inputs % groups or units % groups:
        raise ConversionError(f"groups is {groups}, of {inputs} inputs and {units} filters")
    shape = (kernel, inputs // groups, units)
    if kernel * inputs * units > MAX_MATRIX:
        raise ConversionError(f"its kernel is too large: {shape}")
    W, *b = walk.weights(item.path, [shape, *[(units,)] * options["use_bias"]])
    taps = _of_groups(W, groups)
    bias = b[0] if b else np.zeros(units)
    if kernel == 1:
        return _product(walk, node, x._replace(before=0), taps[0], bias)
    function = options["activation"]
    known = function in ACTIVATIONS
    part = ConvPart(
        *(item.name, node.tensor if known else "", NOTHING, walk.source(), x.columns, units),
        *(taps, bias, dilation, ACTIVATIONS.get(function, "none")),
    )
    y = walk.keep(part, x)
    return y if known else activated(walk, node, y, function)


def _check_reach(reach: int, before: int, padding: str) -> None:
    """reach: how many steps back it reads. before: zeros in front of the first step."""
    if padding == "same" and reach:
        ahead = reach - reach // 2
        raise ConversionError(
            f"padding is 'same', so it reads {ahead} steps ahead of the one that it answers: train "
            "it with padding='causal', or it needs whole sequences"
        )
    if padding not in ("causal", "valid", "same"):
        raise ConversionError(f"padding is {padding!r}, expected 'causal'")
    zeros = before + (reach if padding == "causal" else 0)
    if zeros != reach:
        raise ConversionError(
            f"it reads {reach} steps back, and {zeros} zeros stand before the first step; expected "
            f"{reach}: padding='causal'"
        )


def _of_groups(W: Floats, groups: int) -> Floats:
    """(kernel, inputs / groups, units) -> (kernel, inputs, units), zeros between the groups."""
    kernel, inputs, units = W.shape
    found = np.zeros((kernel, inputs * groups, units))
    for group in range(groups):
        columns = slice(group * units // groups, (group + 1) * units // groups)
        found[:, group * inputs : (group + 1) * inputs, columns] = W[..., columns]
    return found


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(IDENTITIES, same),
    "TimeDistributed": at_each_step,
    "Activation": activation,
    "ReLU": relu,
    "LeakyReLU": leaky_relu,
    "PReLU": prelu,
    "Softmax": softmax,
    "Rescaling": rescaled,
    "Dense": dense,
    "BatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    **dict.fromkeys(("Add", "Multiply", "Subtract", "Average", "Concatenate"), combined),
    "Embedding": embedding,
    "ZeroPadding1D": zeros_before,
    "Conv1D": convolution,
}
