"""What is known of an operator and of its tensors, when a program is opened."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError

Array = NDArray[np.int64]
Shape = tuple[int, ...]
Run = Callable[..., Array]
BITS = {"bool": 1, "int8": 8, "int16": 16, "int32": 32, "int48": 48, "shape": 63}


def limits(dtype: str) -> tuple[int, int]:
    """The least and the largest value of a type."""
    if dtype == "bool":
        return 0, 1
    return -(2 ** (BITS[dtype] - 1)), 2 ** (BITS[dtype] - 1) - 1


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What is known of a tensor before a program runs: its values lie in low to high."""

    shape: Shape
    dtype: str
    low: int
    high: int
    constant: Array | None = None  # (1, *shape)


@dataclasses.dataclass(frozen=True)
class Call:
    """One operator of a program. title: for messages. shape, dtype: of its result, as declared."""

    title: str
    inputs: tuple[Tensor, ...]
    shape: Shape
    dtype: str
    attributes: Mapping[str, Any]

    def expect(self, shape: Shape) -> None:
        """Raises ValueError unless this is the declared shape."""
        if shape != self.shape:
            raise ValueError(f"its result has the shape {shape}, and {self.shape} is declared")

    def constant(self, n: int) -> Array:
        """The values of input `n`. Raises ValueError if it is not constant."""
        values = self.inputs[n].constant
        if values is None:
            raise ValueError(f"its input {n} is not constant")
        found: Array = values[0]
        return found

    def number(self, n: int) -> int:
        """The value of input `n`, which has one."""
        values = self.constant(n)
        if values.size != 1:
            raise ValueError(f"its input {n} has {values.size} values; expected one")
        return int(values.ravel()[0])

    def numbers(self, n: int) -> tuple[int, ...]:
        return tuple(int(v) for v in self.constant(n).ravel())

    def attribute(self, name: str, count: int = 0) -> Any:
        """An attribute: an integer, or a list of `count` integers."""
        value = self.attributes.get(name)
        parts = value if count and isinstance(value, list) else [value]
        if len(parts) != (count or 1) or not all(type(v) in (int, bool) for v in parts):
            what = f"{count} integers" if count else "an integer"
            raise ValueError(f"its attribute {name!r} is {value!r}; expected {what}")
        return value

    def axis(self) -> int:
        """The attribute axis, counted with N in front."""
        axis: int = self.attribute("axis")
        if not 0 <= axis < len(self.inputs[0].shape):
            raise ValueError(f"its axis is {axis}, and its input has {self.inputs[0].shape}")
        return axis + 1


@dataclasses.dataclass(frozen=True)
class Made:
    """A function of the first `count` inputs, and the interval of its results.

    pointwise: each result depends on the values at its own place alone.
    """

    run: Run
    low: int
    high: int
    count: int = 1
    pointwise: bool = False


def checked(call: Call, run: Run, low: int, high: int, limit: tuple[int, int]) -> Run:
    """`run`, which raises BackendError for results beyond `limit` if its interval goes beyond."""
    least, most = limit
    if least <= low and high <= most:
        return run

    def checked(*arrays: Array) -> Array:
        found = run(*arrays)
        if found.size and not (least <= found.min() and found.max() <= most):
            worst = found.min() if found.min() < least else found.max()
            raise BackendError(
                f"{call.title}: {worst} is beyond {least} to {most}, and TOSA states no answer "
                "for that; the program's scales don't fit its inputs"
            )
        return found

    return checked


def corners(call: Call, function: Callable[..., Any]) -> tuple[int, int]:
    """The interval of a function that is least and largest at the ends of its inputs' intervals."""
    ends = [(t.low, t.high) for t in call.inputs]
    found = [int(function(*corner)) for corner in itertools.product(*ends)]
    return min(found), max(found)


def elementwise(call: Call, run: Run, low: int, high: int, count: int = 2) -> Made:
    shapes = [t.shape for t in call.inputs[:count]]
    if len({len(shape) for shape in shapes}) > 1:  # N stands before each of them
        raise ValueError(f"its inputs are {shapes}, of unequal ranks")
    call.expect(np.broadcast_shapes(*shapes))
    limit = limits(call.dtype)
    low_in, high_in = max(low, limit[0]), min(high, limit[1])
    return Made(checked(call, run, low, high, limit), low_in, high_in, count, pointwise=True)


def wrapped(values: Array, dtype: str) -> Array:
    """The lowest bits of the values, as a number of the type."""
    spare = 64 - BITS[dtype]
    return (values << spare) >> spare


def clipped(values: Array, low: int, high: int, limit: tuple[int, int]) -> Array:
    """values, an array of the caller's own, in `limit`. low, high: their interval."""
    if low < limit[0]:
        np.maximum(values, limit[0], out=values)
    if high > limit[1]:
        np.minimum(values, limit[1], out=values)
    return values
