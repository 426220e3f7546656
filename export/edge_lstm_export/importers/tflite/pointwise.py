"""What operators on each step by itself become: arithmetic, activations, softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers.combine import Combine
from edge_lstm_runtime.layers.dense import Activation
from edge_lstm_runtime.layers.prelu import Prelu
from edge_lstm_runtime.layers.softmax import Softmax

from .. import Floats
from .._elements import ByStep, Ids, by_step, elements, step_of
from .file import Operator
from .walk import Walk

# ActivationFunctionType of the format.
FUSED: dict[int, Activation] = {0: "none", 1: "relu", 4: "tanh"}
LITERT = ("none", "relu")  # of these, what LiteRT has in all operators but the recurrent ones
FUSED_NAMES = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
ACTIVATIONS: dict[str, Activation] = {"LOGISTIC": "sigmoid", "TANH": "tanh", "RELU": "relu"}


def fused(operator: Operator, expected: tuple[str, ...]) -> Activation:
    number = operator.options.fusedActivationFunction
    found = FUSED.get(number)
    if found is None or found not in expected:
        shown = FUSED_NAMES[number] if 0 <= number < len(FUSED_NAMES) else number
        raise ConversionError(f"its activation is {shown}, expected {' or '.join(expected)}")
    return found


def _values(at: ByStep, units: Ids, count: int) -> Ids:
    """(count,) the origins of all steps' values. units: of step 0."""
    found = np.empty(count, np.int64)
    found[at.order] = units + elements(0, at.steps, 0)[:, None]
    return found


def _at_each_step(at: ByStep, values: Any, shape: tuple[int, ...], what: str) -> Floats:
    """(R,) of a constant that broadcasts to the tensor. Raises ConversionError."""
    rows = np.broadcast_to(np.asarray(values, np.float64), shape).ravel()[at.order]
    if (rows != rows[0]).any():
        raise ConversionError(f"its {what} is another one at each step")
    found: Floats = rows[0]
    return found


def _scaled(
    walk: Walk,
    operator: Operator,
    name: str,
    values: tuple[Ids, Any, Any],
    activation: Activation = "none",
) -> None:
    """activation(ids factor + shift). values: these three."""
    ids = np.broadcast_arrays(*values)[0]
    at = by_step(ids.reshape(-1, 1))
    factor, shift = (_at_each_step(at, v, ids.shape, "constant") for v in values[1:])
    units = walk.dense(operator, name, (at.pattern.ravel(), factor, shift), activation)
    walk.done(operator, _values(at, units, ids.size).reshape(ids.shape))


def activation(walk: Walk, operator: Operator, name: str) -> None:
    values = (walk.moved(operator), 1.0, 0.0)
    _scaled(walk, operator, name, values, ACTIVATIONS[operator.code])


def arithmetic(walk: Walk, operator: Operator, name: str) -> None:
    """ADD and MUL of two tensors, or of a tensor and a constant."""
    function = fused(operator, LITERT)
    places = operator.inputs[:2]
    free = [k for k, place in enumerate(places) if place in walk.ids]
    if len(free) == 2:
        return _of_two(walk, operator, name, function)
    ids = walk.moved(operator, free[0] if free else 0)
    c = walk.constant(operator, 1 - free[0], "constant")
    values = (ids, 1.0, c) if operator.code == "ADD" else (ids, c, 0.0)
    return _scaled(walk, operator, name, values, function)


def _of_two(walk: Walk, operator: Operator, name: str, function: Activation) -> None:
    a, b = np.broadcast_arrays(walk.moved(operator, 0), walk.moved(operator, 1))
    at = by_step(a.reshape(-1, 1))
    others = b.ravel()[at.order]
    second = others - elements(0, at.steps, 0)[:, None]
    if (step_of(others) != at.steps[:, None]).any() or (second != second[0]).any():
        raise ConversionError("it computes with values of different steps")
    operation = "add" if operator.code == "ADD" else "mul"
    operands = (at.pattern.ravel(), second[0])
    units = walk.layer(operator, name, operands, Combine, {"operation": operation})
    if function != "none":
        walk.parts[-1].tensor = ""  # the file tells what is after the function
        one = np.ones(len(units))
        units = walk.dense(operator, name, (units, one, 0 * one), function)
    walk.done(operator, _values(at, units, a.size).reshape(a.shape))


def softmax(walk: Walk, operator: Operator, name: str) -> None:
    """softmax(beta x) over the last axis."""
    ids = walk.moved(operator)
    order, steps, pattern = by_step(ids.reshape(-1, ids.shape[-1]))
    if len(pattern) != 1:
        raise ConversionError(f"it is over {len(pattern)} parts of a step, expected all of it")
    units = pattern[0]
    beta = float(operator.options.beta)
    if not 0 < beta < np.inf:
        raise ConversionError(f"its beta is {beta}, expected more than 0")
    if beta != 1:
        units = walk.dense(operator, name, (units, np.full(len(units), beta), np.zeros(len(units))))
        walk.parts[-1].tensor = ""
    units = walk.layer(operator, name, (units,), Softmax)
    found = np.empty((steps.size, len(units)), np.int64)
    found[order[:, 0]] = units + elements(0, steps, 0)[:, None]
    walk.done(operator, found.reshape(ids.shape))


def slopes(walk: Walk, operator: Operator, name: str) -> None:
    """PRELU and LEAKY_RELU."""
    ids = walk.moved(operator)
    constant = operator.code == "PRELU"
    slope = walk.constant(operator, 1, "slope") if constant else operator.options.alpha
    at = by_step(ids.reshape(-1, 1))
    vectors = {"slope": _at_each_step(at, slope, ids.shape, "slope")}
    if not np.isfinite(vectors["slope"]).all():
        raise ConversionError("its slope is not finite")
    units = walk.layer(operator, name, (at.pattern.ravel(),), Prelu, vectors=vectors)
    walk.done(operator, _values(at, units, ids.size).reshape(ids.shape))


HANDLERS: dict[str, Callable[[Walk, Operator, str], None]] = {
    **dict.fromkeys(ACTIVATIONS, activation),
    **dict.fromkeys(("ADD", "MUL"), arithmetic),
    "SOFTMAX": softmax,
    **dict.fromkeys(("PRELU", "LEAKY_RELU"), slopes),
}
