"""Operators on each value by itself: arithmetic, shifts, comparisons, tables."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import BackendError
from .call import (
    BITS,
    Array,
    Call,
    Made,
    Run,
    checked,
    clipped,
    corners,
    elementwise,
    limits,
    wrapped,
)


def binary(function: Run) -> Callable[[Call], Made]:
    """ADD, SUB, MAXIMUM, MINIMUM: monotonic in each input."""
    return lambda call: elementwise(call, function, *corners(call, function))


def bits(function: Run) -> Callable[[Call], Made]:
    """Whatever gives any number of its type, and none beyond."""
    return lambda call: elementwise(call, function, *limits(call.dtype), len(call.inputs))


def comparison(function: Callable[[Array, Array], Any]) -> Callable[[Call], Made]:
    return lambda call: elementwise(call, lambda a, b: function(a, b).astype(np.int64), 0, 1)


def mul(call: Call) -> Made:
    shift = call.number(2)
    if not 0 <= shift <= (63 if call.inputs[0].dtype == "int32" else 0):
        raise ValueError(f"its shift is {shift}")
    half = 1 << shift >> 1

    def run(a: Array, b: Array) -> Array:
        product = a * b
        if shift:
            product += half
            product >>= shift
        return product

    ends = [(t.low, t.high) for t in call.inputs[:2]]
    products = [(a * b + half) >> shift for a, b in itertools.product(*ends)]
    low, high = min(products), max(products)
    limit = limits(call.dtype)
    if shift or (limit[0] <= low and high <= limit[1]):
        return elementwise(call, run, low, high)
    # Without a shift the result is the lowest 32 bits, whatever the product.
    return elementwise(call, lambda a, b: wrapped(a * b, call.dtype), *limit)


def right_shift(call: Call) -> Made:
    a, b = call.inputs
    most = BITS[a.dtype] - 1
    rounded = bool(call.attribute("round"))

    def run(x: Array, n: Array) -> Array:
        found = x >> n
        if rounded:
            found += (n > 0) & (x >> np.maximum(n - 1, 0)) & 1
        return found

    shifts = checked(call, lambda n: n, b.low, b.high, (0, most))
    low, high = min(a.low, 0), max(a.high, 0)
    return elementwise(call, lambda x, n: run(x, shifts(n)), low, high)


def logical_shift(left: bool) -> Callable[[Call], Made]:
    def make(call: Call) -> Made:
        a, b = call.inputs
        most, mask = BITS[a.dtype] - 1, 2 ** BITS[a.dtype] - 1
        shifts = checked(call, lambda n: n, b.low, b.high, (0, most))

        def run(x: Array, n: Array) -> Array:
            moved = x << shifts(n) if left else (x & mask) >> shifts(n)
            return wrapped(moved, a.dtype)

        return elementwise(call, run, *limits(a.dtype))

    return make


def divide(call: Call) -> Made:
    def run(a: Array, b: Array) -> Array:
        if not b.all():
            raise BackendError(f"{call.title}: a division by zero")
        found: Array = np.sign(a) * np.sign(b) * (abs(a) // abs(b))
        return found

    largest = max(abs(call.inputs[0].low), abs(call.inputs[0].high))
    return elementwise(call, run, -largest, largest)


def select(call: Call) -> Made:
    _, a, b = call.inputs
    low, high = min(a.low, b.low), max(a.high, b.high)
    return elementwise(call, lambda c, x, y: np.where(c != 0, x, y), low, high, 3)


def clamp(call: Call) -> Made:
    least, most = (_stated(call, key) for key in ("min_val", "max_val"))
    if least > most:
        raise ValueError(f"its min_val {least} is above its max_val {most}")
    low, high = corners(call, lambda v: min(max(v, least), most))
    return elementwise(call, lambda x: np.minimum(np.maximum(x, least), most), low, high, 1)


def _stated(call: Call, name: str) -> int:
    """An integer, or its bytes in a flatbuffer."""
    value = call.attributes.get(name)
    if isinstance(value, list) and len(value) * 8 >= BITS[call.dtype]:
        return int.from_bytes(bytes(value)[: BITS[call.dtype] // 8], "little", signed=True)
    found: int = call.attribute(name)
    return found


def absolute(call: Call) -> Made:
    low, high = corners(call, abs)
    spread = call.inputs[0].low < 0 < call.inputs[0].high
    return elementwise(call, np.abs, 0 if spread else low, high, 1)


def negate(call: Call) -> Made:
    a, b = call.number(1), call.number(2)
    limit = limits(call.dtype)
    low, high = a + b - call.inputs[0].high, a + b - call.inputs[0].low

    if call.dtype == "int32":  # it is not clipped
        return elementwise(call, lambda x: a + b - x, low, high, 1)

    def run(x: Array) -> Array:
        return clipped(a + b - x, low, high, limit)

    return elementwise(call, run, max(low, limit[0]), min(high, limit[1]), 1)


def cast(call: Call) -> Made:
    tensor = call.inputs[0]
    least, most = limits(call.dtype)
    if call.dtype == "bool":
        return elementwise(call, lambda x: (x != 0).astype(np.int64), 0, 1, 1)
    if least <= tensor.low and tensor.high <= most:
        return elementwise(call, lambda x: x, tensor.low, tensor.high, 1)
    return elementwise(call, lambda x: wrapped(x, call.dtype), least, most, 1)


def table(call: Call) -> Made:
    table = call.constant(1).ravel()
    wide = call.inputs[0].dtype == "int16"
    if len(table) != (513 if wide else 256):
        raise ValueError(f"its table has {len(table)} values")
    if not wide:
        turned = np.roll(table, -128)  # a negative index counts from the end
        return elementwise(call, lambda x: turned[x], int(table.min()), int(table.max()), 1)
    slopes = np.diff(table)
    if abs(2 * slopes + 1).max() > 2**16:
        raise ValueError("its table has a slope beyond int16")
    bases = 128 * table

    def run(x: Array) -> Array:
        at = (x >> 7) + 256
        found: Array = bases[at] + slopes[at] * (x & 127)
        return found

    return elementwise(call, run, int(bases.min()), int(bases.max()), 1)
