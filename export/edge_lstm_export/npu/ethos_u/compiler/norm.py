"""Layer normalization on integers: (x - mean) / sqrt(variance + epsilon) scale + shift.

1 / sqrt(v) is steep near zero, and a table of an int16 has 256 pieces above zero. So a row is
divided several times: first by sqrt(v + d), which brings the rows' variances near each other, and
at last by sqrt(v). A division that is off does no harm if another one follows, because that one
sees its result. epsilon is the mean square of one more value beside the centered ones, which takes
part in each division.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from .values import Value

NEAR = 16.0  # the ratio of variances at which 1 / sqrt(v) is taken: the table is right within 4e-4
PIECES = 50  # d is no less than this part of the largest variance: about a piece of the table
STAGES = 4
LEAST = 1e-12  # epsilon: its square root stays a float32 through all divisions
ROOM = 2.0  # of the centered values beyond the calibration set's, and its square of variances


class Operators(Protocol):
    """The tape (`tape.Tape`), as it is seen here."""

    def apply(self, kind: str, a: Any, b: Any, room: float = 1.0) -> Value: ...

    def choose(self, site: str, made: Callable[[], float]) -> float: ...

    def average(self, a: Value, weight: float, added: float = 0.0, room: float = 1.0) -> Value: ...

    def rest(self, a: Value, weight: float) -> Value: ...

    def beside(self, a: Value, number: float) -> Value: ...

    def part(self, a: Value, size: int) -> Value: ...

    def square(self, a: Value) -> Value: ...

    def rsqrt(self, a: Value, room: float) -> Value: ...


def normalized(tape: Operators, a: Value, scale: Any, shift: Any, epsilon: float) -> Value:
    n = a.size
    epsilon = max(epsilon, LEAST)
    centered = tape.apply("sub", a, tape.average(a, 1 / n), ROOM)
    # The rounding of a large mean is a mean again. So equal values become zeros.
    centered = tape.apply("sub", centered, tape.rest(centered, 1 / n), ROOM)
    c = tape.beside(centered, math.sqrt(n * epsilon))
    for stage in range(STAGES):
        squares = tape.square(c)
        d = tape.choose(squares.site, partial(_added, squares, n, stage))
        v = tape.average(squares, 1 / n, d, room=1 if stage else ROOM**2)
        factor = tape.rsqrt(v, ROOM)
        if not d:
            break
        c = tape.apply("mul", c, factor)
    y: Value = tape.part(c, n) * factor * scale + shift
    return y


def _added(squares: Value, n: int, stage: int) -> float:
    """d, which is 0 in the last division."""
    variances = squares.data.sum(-1) / n
    low, high = variances.min().item(), variances.max().item()
    if stage and (high <= NEAR * low or stage == STAGES - 1):
        return 0.0
    return max(math.sqrt(low * high), high / PIECES)
