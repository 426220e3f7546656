"""The integer operators of TOSA 1.0, exact to the bit.

Source: the specification TOSA 1.0 (mlplatform.org/tosa), profile PRO-INT with EXT-INT16. All
integers are int64 here, whatever a tensor's own type: an int48 fits, and so does the product of
an int32 by a multiplier. A tensor is (N, *shape): N streams stand before the shape that TOSA knows.

A maker in `OPERATORS` reads what is constant once, when a program is opened. It returns a function
on arrays, and the interval of its results. An interval proves that a sum stays in its type. Where
it does not, TOSA states no answer beyond the type, and the function raises BackendError for it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from . import moves, pointwise, products
from .call import Call, Made
from .rescale import rescale


@dataclasses.dataclass(frozen=True)
class Operator:
    """types: the types of its first inputs and of its result, "a>b" each. inputs: how many."""

    make: Callable[[Call], Made]
    types: str
    inputs: int


_ALL = "int8>int8 int16>int16 int32>int32"
_MOVED = f"{_ALL} bool>bool int48>int48"
_PRODUCTS = "int8>int32 int16>int48"
_RESCALED = " ".join(
    f"{a}>{b}" for a in ("int8", "int16", "int32", "int48") for b in ("int8", "int16", "int32")
)
_TRUTHS = "int32>bool int16>bool int8>bool"
_CASTS = " ".join(
    f"{a}>{b}" for a, b in itertools.permutations(("bool", "int8", "int16", "int32"), 2)
)
OPERATORS = {
    "ABS": Operator(pointwise.absolute, "int32>int32", 1),
    "ADD": Operator(pointwise.binary(np.add), "int32>int32", 2),
    "ARITHMETIC_RIGHT_SHIFT": Operator(pointwise.right_shift, _ALL, 2),
    "BITWISE_AND": Operator(pointwise.bits(np.bitwise_and), _ALL, 2),
    "BITWISE_NOT": Operator(pointwise.bits(np.invert), _ALL, 1),
    "BITWISE_OR": Operator(pointwise.bits(np.bitwise_or), _ALL, 2),
    "BITWISE_XOR": Operator(pointwise.bits(np.bitwise_xor), _ALL, 2),
    "CAST": Operator(pointwise.cast, _CASTS, 1),
    "CLAMP": Operator(pointwise.clamp, "int8>int8 int16>int16", 1),
    "CONCAT": Operator(moves.concat, _MOVED, 0),
    "CONV2D": Operator(products.conv2d, _PRODUCTS, 5),
    "DEPTHWISE_CONV2D": Operator(products.depthwise, _PRODUCTS, 5),
    "EQUAL": Operator(pointwise.comparison(np.equal), _TRUTHS, 2),
    "GREATER": Operator(pointwise.comparison(np.greater), _TRUTHS, 2),
    "GREATER_EQUAL": Operator(pointwise.comparison(np.greater_equal), _TRUTHS, 2),
    "IDENTITY": Operator(moves.identity, _MOVED, 1),
    "INTDIV": Operator(pointwise.divide, "int32>int32", 2),
    "LOGICAL_AND": Operator(pointwise.bits(np.bitwise_and), "bool>bool", 2),
    "LOGICAL_LEFT_SHIFT": Operator(pointwise.logical_shift(True), _ALL, 2),
    "LOGICAL_NOT": Operator(pointwise.bits(lambda x: 1 - x), "bool>bool", 1),
    "LOGICAL_OR": Operator(pointwise.bits(np.bitwise_or), "bool>bool", 2),
    "LOGICAL_RIGHT_SHIFT": Operator(pointwise.logical_shift(False), _ALL, 2),
    "LOGICAL_XOR": Operator(pointwise.bits(np.bitwise_xor), "bool>bool", 2),
    "MATMUL": Operator(products.matmul, _PRODUCTS, 4),
    "MAXIMUM": Operator(pointwise.binary(np.maximum), _ALL, 2),
    "MINIMUM": Operator(pointwise.binary(np.minimum), _ALL, 2),
    "MUL": Operator(pointwise.mul, "int8>int32 int16>int32 int32>int32", 3),
    "NEGATE": Operator(pointwise.negate, _ALL, 3),
    "PAD": Operator(moves.pad, _MOVED, 3),
    "REDUCE_MAX": Operator(moves.reduce(np.max), _ALL, 1),
    "REDUCE_MIN": Operator(moves.reduce(np.min), _ALL, 1),
    "REDUCE_SUM": Operator(moves.reduce_sum, "int32>int32", 1),
    "RESCALE": Operator(rescale, _RESCALED, 5),
    "RESHAPE": Operator(moves.reshape, _MOVED, 2),
    "REVERSE": Operator(moves.reverse, _MOVED, 1),
    "SELECT": Operator(pointwise.select, "bool>int8 bool>int16 bool>int32 bool>bool", 3),
    "SLICE": Operator(moves.part, _MOVED, 3),
    "SUB": Operator(pointwise.binary(np.subtract), "int32>int32", 2),
    "TABLE": Operator(pointwise.table, "int8>int8 int16>int32", 2),
    "TILE": Operator(moves.tile, _MOVED, 2),
    "TRANSPOSE": Operator(moves.transpose, _MOVED, 1),
}  # fmt: skip
