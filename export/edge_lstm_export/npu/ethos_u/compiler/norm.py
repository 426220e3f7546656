"""Layer normalization on integers: (x - mean) / sqrt(variance + epsilon) scale + shift.

1 / sqrt(v) is steep near zero, and a table of an int16 has 256 pieces above zero. So a row is
divided several times: first by sqrt(v + d), which brings the rows' variances near each other, and
at last by sqrt(v). A division that is off does no harm if another one follows, because that one
sees its result. epsilon is the mean square of one more value beside the centered ones, which takes
part in each division.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from .values import Value

if TYPE_CHECKING:
    from .tape import Tape

NEAR = 16.0  # the ratio of variances at which 1 / sqrt(v) is taken: the table is right within 4e-4
PIECES = 50  # d is no less than this part of the largest variance: about a piece of the table
STAGES = 4
ROOM = 2.0  # of the centered values beyond the calibration set's, and its square of variances


def normalized(tape: Tape, a: Value, scale: Any, shift: Any, epsilon: float) -> Value:
    n = a.size
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
