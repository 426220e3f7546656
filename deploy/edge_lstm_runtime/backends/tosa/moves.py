"""Operators that move values, and those that reduce an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .call import Array, Call, Made, Run, Shape, checked, limits


def identity(call: Call) -> Made:
    return same(call, call.inputs[0].shape, lambda x: x)


def same(call: Call, shape: Shape, run: Run) -> Made:
    """What moves values and changes none."""
    call.expect(shape)
    return Made(run, call.inputs[0].low, call.inputs[0].high)


def reshape(call: Call) -> Made:
    shape = call.numbers(1)
    if math.prod(shape) != math.prod(call.inputs[0].shape):
        raise ValueError(f"its input is {call.inputs[0].shape} and its shape {shape}")
    return same(call, shape, lambda x: x.reshape(len(x), *shape))


def transpose(call: Call) -> Made:
    shape = call.inputs[0].shape
    perms = tuple(call.attribute("perms", len(shape)))
    if sorted(perms) != list(range(len(shape))):
        raise ValueError(f"its perms are {perms} for {len(shape)} axes")
    axes = (0, *(axis + 1 for axis in perms))
    return same(call, tuple(shape[axis] for axis in perms), lambda x: x.transpose(axes))


def part(call: Call) -> Made:
    shape, start, size = call.inputs[0].shape, call.numbers(1), call.numbers(2)
    parts = list(zip(shape, start, size, strict=True))
    if not all(s >= 0 and n >= 1 and s + n <= most for most, s, n in parts):
        raise ValueError(f"its start {start} and size {size} don't fit {shape}")
    cut = (slice(None), *(slice(s, s + n) for _, s, n in parts))
    return same(call, size, lambda x: x[cut])


def concat(call: Call) -> Made:
    axis, shapes = call.axis(), [t.shape for t in call.inputs]
    joined = sum(shape[axis - 1] for shape in shapes)
    whole = {(*shape[: axis - 1], joined, *shape[axis:]) for shape in shapes}
    if len(whole) != 1:
        raise ValueError(f"its inputs are {shapes}")
    call.expect(whole.pop())

    def run(*parts: Array) -> Array:
        streams = max(map(len, parts))  # a constant has one
        full = [np.broadcast_to(part, (streams, *part.shape[1:])) for part in parts]
        return np.concatenate(full, axis)

    low, high = min(t.low for t in call.inputs), max(t.high for t in call.inputs)
    return Made(run, low, high, len(shapes))


def pad(call: Call) -> Made:
    shape, amounts, value = call.inputs[0].shape, call.numbers(1), call.number(2)
    if len(amounts) != 2 * len(shape) or min(amounts, default=0) < 0:
        raise ValueError(f"its padding is {amounts} for {shape}")
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    call.expect(tuple(n + sum(pair) for n, pair in zip(shape, pairs, strict=True)))
    low, high = min(call.inputs[0].low, value), max(call.inputs[0].high, value)
    return Made(lambda x: np.pad(x, [(0, 0), *pairs], constant_values=value), low, high)


def tile(call: Call) -> Made:
    shape, times = call.inputs[0].shape, call.numbers(1)
    whole = tuple(n * k for n, k in zip(shape, times, strict=True))
    return same(call, whole, lambda x: np.tile(x, (1, *times)))


def reverse(call: Call) -> Made:
    axis = call.axis()
    return same(call, call.inputs[0].shape, lambda x: np.flip(x, axis))


def reduce(function: Callable[..., Any]) -> Callable[[Call], Made]:
    """REDUCE_MAX, REDUCE_MIN."""

    def make(call: Call) -> Made:
        axis, x = call.axis(), call.inputs[0]
        call.expect((*x.shape[: axis - 1], 1, *x.shape[axis:]))
        return Made(lambda values: function(values, axis=axis, keepdims=True), x.low, x.high)

    return make


def reduce_sum(call: Call) -> Made:
    axis, x = call.axis(), call.inputs[0]
    call.expect((*x.shape[: axis - 1], 1, *x.shape[axis:]))
    low, high = min(x.shape[axis - 1] * x.low, x.low), max(x.shape[axis - 1] * x.high, x.high)
    limit = limits(call.dtype)
    # Each partial sum has to stay in the type, not the last alone.
    sums = checked(call, lambda values: np.cumsum(values, axis), low, high, limit)

    def run(values: Array) -> Array:
        found: Array = sums(values).take([-1], axis)
        return found

    return Made(run, max(low, limit[0]), min(high, limit[1]))
