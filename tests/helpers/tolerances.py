"""How far an array may be from its reference: one table, with a reason for each limit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Limit(NamedTuple):
    absolute: float
    reason: str


TOLERANCES = {
    "float64": Limit(
        1e-12,
        "the same equations in float64, summed in another order and with another form of the "
        "sigmoid",
    ),
    "float32": Limit(
        1e-5,
        "float32 rounds at 6e-8; sums of ~100 terms, carried 1,000 steps through a contracting "
        "recurrence",
    ),
    "int8": Limit(
        2e-6,
        "the same integers; float32 rounds the gates alone, and an h may fall between two steps "
        "of 127 but does not",
    ),
    "sound": Limit(
        1e-4, "logarithms of sums of some hundred float32 products, against float64's or librosa's"
    ),
    "features in C": Limit(
        1e-6, "the same in double, rounded to float32, which is 1e-6 apart from 8 to 16"
    ),
    "exact": Limit(0.0, "the same operations on the same numbers in the same order"),
    "features": Limit(
        1e-12,
        "float64; a division by the deviation in one place, a product with its inverse in the "
        "other",
    ),
}


def assert_close(actual: ArrayLike, expected: ArrayLike, tolerance: str, tensor: str) -> None:
    """Fail with the tensor, the largest difference and its place.

    Shapes must agree, and NaN equals nothing.
    """
    limit = TOLERANCES[tolerance]
    actual = np.asarray(actual)
    expected = np.asarray(expected)
    assert actual.shape == expected.shape, (
        f"{tensor}: shape {actual.shape}, expected {expected.shape}"
    )
    if not actual.size:
        return
    difference = np.abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64))
    difference[~np.isfinite(difference)] = np.inf
    place = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), difference.shape))
    assert difference.max() <= limit.absolute, (
        f"{tensor}: differs by {difference.max():.3g} at {place} ({actual[place]!r} against "
        f"{expected[place]!r}); "
        f"{tolerance} allows {limit.absolute:g}: {limit.reason}"
    )
