"""What the operators that compute become: dense and recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.combine import Combine
from edge_lstm_runtime.layers.dense import Activation
from edge_lstm_runtime.layers.gru import Gru
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.layers.rnn import Rnn

from .. import Floats
from .._elements import Ids, by_step, elements, source_of, step_of
from .._parts import MAX_MATRIX, DensePart, LayerPart, RecurrentPart
from .._rows import reordered
from .trace import Node, Trace

# Operator -> our layer, and for each of our gates the place of ONNX's: i, o, f, c and z, r, h.
RECURRENT: dict[str, tuple[type[Layer], tuple[int, ...]]] = {
    "LSTM": (Lstm, (0, 2, 3, 1)),
    "GRU": (Gru, (1, 0, 2)),
    "RNN": (Rnn, (0,)),
}
DEFAULTS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}
# Attributes that change what is computed -> what they may be.
PLAIN: dict[str, Any] = {"direction": "forward", "clip": 0.0, "input_forget": 0, "layout": 0}
# Inputs that change what is computed.
SPECIAL = {4: "sequence_lens", 7: "peephole weights P"}
TWO: dict[str, Literal["add", "mul", "sub"]] = {"Add": "add", "Mul": "mul", "Sub": "sub"}
INITIAL = {"h": 5, "c": 6}


def recurrent(trace: Trace, node: Node) -> None:
    kind, order = RECURRENT[node.op]
    options = _options(node)
    if given := [what for place, what in SPECIAL.items() if node.input(place)]:
        raise ConversionError(f"{' and '.join(given)} can't be taken")
    x = trace.tensor(node, 0)
    if x.ndim != 3 or x.shape[1] != 1:
        raise ConversionError(
            f"it reads shape {x.shape}, expected (steps, 1, features): a batch of 1"
        )
    W_x, W_h = (
        _direction(trace.constant(node, place, what)) for place, what in ((1, "W"), (2, "R"))
    )
    units = W_h.shape[-1]
    rows = len(order) * units
    b = np.zeros(2 * rows)
    if node.input(3):
        b = _direction(trace.constant(node, 3, "B"))
    shapes = {"W": W_x.shape, "R": W_h.shape, "B": b.shape}
    expected = {"W": (rows, x.shape[-1]), "R": (rows, units), "B": (2 * rows,)}
    if shapes != expected:
        raise ConversionError(f"its weights have shapes {shapes}, expected {expected}")
    if len(x) != trace.steps or (step_of(x) != np.arange(trace.steps)[:, None, None]).any():
        raise ConversionError(f"it reads {len(x)} steps, and the net has {trace.steps}")
    pattern = by_step(x[:, 0]).pattern[0]
    source = trace.source("layer", node.name)
    steps = np.arange(trace.steps)[:, None]
    h = elements(source, steps, np.arange(units))[:, None, None]  # (T, 1, 1, H)
    y = node.output(0)
    part = RecurrentPart(
        node.name,
        y or node.output(1),
        h if y else h[-1],
        source,
        pattern,
        units,
        kind,
        options,
        tuple(reordered(a, order) for a in (W_x, W_h, *np.split(b, 2))),  # type: ignore[arg-type]
        operator=len(trace.nodes) - 1,
    )
    last = {"h": h[-1]}
    if kind is Lstm:
        part.cell = trace.source("cell", node.name)
        last["c"] = elements(part.cell, trace.steps - 1, np.arange(units))[None, None]
    part.open = tuple(s for s, ids in last.items() if not _fed(trace, node, s, ids))
    initial = [_initial(trace, node, s, units) for s in last]
    if any(values.any() for values in initial):
        part.initial = tuple(tuple(values.tolist()) for values in initial)
    trace.parts.append(part)
    for place, ids in enumerate((h, *last.values())):
        if node.output(place):
            trace.ids[node.output(place)] = ids


def _options(node: Node) -> dict[str, Any]:
    """Of our layer. Raises ConversionError for attributes that it doesn't have."""
    for name, plain in PLAIN.items():
        value = node.attributes.get(name, plain)
        if value != plain:
            raise ConversionError(f"{name} = {value} can't be taken, only {plain}")
    defaults = DEFAULTS[node.op]
    functions = [f.lower() for f in node.attributes.get("activations", defaults)]
    options: dict[str, Any] = {}
    if node.op == "GRU":
        options = {"linear_before_reset": bool(node.attributes.get("linear_before_reset", 0))}
    if node.op == "RNN" and functions == ["relu"]:
        return {"activation": "relu"}
    if functions != defaults:
        raise ConversionError(f"activations = {functions} can't be taken, only {defaults}")
    return options


def _direction(array: Floats) -> Floats:
    if len(array) != 1:
        raise ConversionError(f"weights of {len(array)} directions can't be taken, only of 1")
    (only,) = array
    return np.asarray(only)


def _initial(trace: Trace, node: Node, state: str, units: int) -> Floats:
    """(H,) the state at the start. It is zero if it comes from an input of the graph."""
    name = node.input(INITIAL[state])
    if name not in trace.constants:
        return np.zeros(units)
    values = trace.constant(node, INITIAL[state], f"initial_{state}").astype(np.float32)
    if values.size != units:
        raise ConversionError(f"initial_{state} has shape {values.shape}, expected {units} values")
    return values.ravel()


def _fed(trace: Trace, node: Node, state: str, after: Ids) -> bool:
    """Whether the state comes from an input of the graph. Else it starts at zero.

    after: (1, 1, H) the state after the last step.
    """
    name = node.input(INITIAL[state])
    if not name:
        return False
    if name in trace.constants:
        return False
    before = trace.ids[name]
    if before.size != after.size:
        raise ConversionError(f"initial_{state} has shape {before.shape}, expected {after.shape}")
    if any(trace.sources[s][0] != "state" for s in np.unique(source_of(before))):
        raise ConversionError(
            f"initial_{state} is computed, expected zero or an input of the graph"
        )
    for old, new in zip(before.ravel().tolist(), after.ravel().tolist(), strict=True):
        if trace.fed.setdefault(old, new) != new:
            raise ConversionError(f"initial_{state} is the state of another layer too")
    return True


def linear(trace: Trace, node: Node, rows: Ids, W: Floats, b: Floats) -> Ids:
    """rows: (R, K) @ W (K, N) + b (N,) -> (R, N). Several rows of one step are one layer."""
    order, steps, pattern = by_step(rows)
    count = len(pattern)
    if W.size * count**2 > MAX_MATRIX:
        raise ConversionError(f"its matrix is too large: {count} times {W.shape}")
    W = np.kron(np.eye(count), W)
    return _dense(trace, node, pattern.ravel(), (W, np.tile(b, count)), (order, steps, len(rows)))


def _dense(
    trace: Trace,
    node: Node,
    columns: Ids,
    weights: tuple[Floats, Floats],
    places: tuple[Any, Ids, int],
    activation: Activation = "none",
) -> Ids:
    """(R, N) of R rows. places: the rows of each step, the steps, R."""
    order, steps, rows = places
    W, b = weights
    if not (np.isfinite(W).all() and np.isfinite(b).all()):
        raise ConversionError("its constants have NaN or infinity")
    source = trace.source("layer", node.name)
    units = np.arange(len(b)).reshape(order.shape[1], -1)
    found = np.empty((rows, units.shape[1]), np.int64)
    found[order] = elements(source, steps[:, None, None], units)
    nothing = np.empty(0, np.int64)
    trace.parts.append(
        DensePart(node.name, node.output(0), nothing, source, columns, len(b), W, b, activation)
    )
    return found


def finish(trace: Trace, node: Node, ids: Ids) -> None:
    trace.ids[node.output(0)] = ids
    trace.parts[-1].ids = ids


def pointwise(
    trace: Trace, node: Node, ids: Ids, factor: Any, shift: Any, activation: Activation = "none"
) -> None:
    """activation(factor ids + shift)."""
    ids, factor, shift = np.broadcast_arrays(ids, np.float64(factor), np.float64(shift))
    order, steps, pattern = by_step(ids.reshape(-1, 1))
    each = [a.ravel()[order] for a in (factor, shift)]  # (P, R)
    if any((a != a[0]).any() for a in each):
        raise ConversionError("its constant is another one at each step")
    weights = (each[0][0], each[1][0])
    found = _dense(trace, node, pattern.ravel(), weights, (order, steps, ids.size), activation)
    finish(trace, node, found.reshape(ids.shape))


def matmul(trace: Trace, node: Node) -> None:
    if node.input(1) not in trace.constants:
        raise ConversionError("it multiplies two tensors, or a constant by a tensor: not taken yet")
    x = trace.tensor(node, 0)
    W = trace.constant(node, 1, "matrix")
    if W.ndim != 2 or x.ndim < 1:
        raise ConversionError(f"it multiplies shapes {x.shape} and {W.shape}, expected a matrix")
    found = linear(trace, node, x.reshape(-1, x.shape[-1]), W, np.zeros(W.shape[1]))
    finish(trace, node, found.reshape(*x.shape[:-1], -1))


def gemm(trace: Trace, node: Node) -> None:
    if node.input(0) in trace.constants or node.input(1) not in trace.constants:
        raise ConversionError("it multiplies two tensors, or a constant by a tensor: not taken yet")
    x = trace.tensor(node, 0)
    W = trace.constant(node, 1, "matrix")
    get = node.attributes.get
    x = x.T if get("transA", 0) else x
    W = (W.T if get("transB", 0) else W) * get("alpha", 1.0)
    b = np.zeros((1, W.shape[1]))
    if node.input(2):
        b = b + get("beta", 1.0) * trace.constant(node, 2, "bias")
    if (b != b[0]).any():
        raise ConversionError("its bias is another one for each row")
    finish(trace, node, linear(trace, node, x, W, b[0]))


def two(trace: Trace, node: Node, operation: Literal["add", "mul", "sub"]) -> None:
    """The sum or the product of two tensors. The difference is a dense layer that reads both."""
    a, b = np.broadcast_arrays(*(trace.ids[node.input(k)] for k in (0, 1)))
    order, steps, first = by_step(a.reshape(-1, 1))
    b_steps = step_of(b.ravel()[order])
    second = b.ravel()[order] - (elements(0, steps, 0)[:, None])
    if (b_steps != steps[:, None]).any() or (second != second[0]).any():
        raise ConversionError("it computes with several steps at once")
    operands = (first.ravel(), second[0])
    if operation != "sub":
        found = layer_part(
            trace, node, Combine, operands, (order, steps, a.size), {"operation": operation}
        )
        return finish(trace, node, found.reshape(a.shape))
    if len(first) ** 2 > MAX_MATRIX:
        raise ConversionError(f"its tensors are too large: {a.shape}")
    one = np.eye(len(first))
    weights = (np.concatenate([one, -one]), np.zeros(len(first)))
    found = _dense(trace, node, np.concatenate(operands), weights, (order, steps, a.size))
    return finish(trace, node, found.reshape(a.shape))


def layer_part(  # noqa: PLR0913 - what a layer is
    trace: Trace,
    node: Node,
    kind: type[Layer],
    operands: tuple[Ids, ...],
    places: tuple[Any, Ids, int],
    options: dict[str, Any] | None = None,
    vectors: dict[str, Floats] | None = None,
) -> Ids:
    """(R, n) the outputs of a layer without a matrix, as of `_dense`."""
    order, steps, rows = places
    source = trace.source("layer", node.name)
    units = np.arange(len(operands[0])).reshape(order.shape[1], -1)
    found = np.empty((rows, units.shape[1]), np.int64)
    found[order] = elements(source, steps[:, None, None], units)
    trace.parts.append(
        LayerPart(
            *(node.name, node.output(0), np.empty(0, np.int64), source, np.concatenate(operands)),
            *(units.size, kind, options or {}, operands, vectors or {}),
        )
    )
    return found


def arithmetic(trace: Trace, node: Node) -> None:
    """Add, Sub, Mul and Div of a tensor and a constant, Add and Sub of two tensors."""
    names = [node.input(0), node.input(1)]
    constant = [name in trace.constants for name in names]
    if not any(constant):
        return two(trace, node, TWO[node.op])
    c = trace.constant(node, constant.index(True), "constant")
    ids = trace.ids[names[constant.index(False)]]
    if node.op == "Add":
        return pointwise(trace, node, ids, 1.0, c)
    if node.op == "Sub":
        return pointwise(trace, node, ids, *((1.0, -c) if constant[1] else (-1.0, c)))
    if node.op == "Mul":
        return pointwise(trace, node, ids, c, 0.0)
    if constant[0]:
        raise ConversionError("it divides by a tensor: no layer does that")
    with np.errstate(divide="ignore"):
        return pointwise(trace, node, ids, 1 / c, 0.0)


def activation(trace: Trace, node: Node) -> None:
    names: dict[str, Activation] = {"Tanh": "tanh", "Sigmoid": "sigmoid", "Relu": "relu"}
    pointwise(trace, node, trace.tensor(node, 0), 1.0, 0.0, names[node.op])


def nothing(trace: Trace, node: Node) -> None:
    """A Pad by zero values."""
    pads = node.attributes.get("pads")
    pads = trace.constant(node, 1, "pads") if pads is None else np.asarray(pads)
    if np.any(pads):
        raise ConversionError("it pads: no layer does that")
    trace.ids[node.output(0)] = trace.tensor(node, 0)


HANDLERS: dict[str, Callable[[Trace, Node], None]] = {
    **dict.fromkeys(RECURRENT, recurrent),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), arithmetic),
    **dict.fromkeys(("Tanh", "Sigmoid", "Relu"), activation),
    "MatMul": matmul,
    "Pad": nothing,
    "Gemm": gemm,
}
