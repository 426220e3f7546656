"""Checks that several parts of a specification have in common.

part: "inputs" or "answer", for the message. Each check raises BundleError.
"""

from __future__ import annotations

import itertools

from .errors import BundleError
from .shown import counted

DAY = 86400  # seconds
LATEST = 2e11  # seconds before and after 1970: year -4368 to 8307. Milliseconds are beyond
LARGEST = 1e30  # of a mean, scale or deviation: keeps sums and products far from overflow
SMALLEST = 1e-30  # of a deviation


def require(part: str, condition: bool, what: str) -> None:
    if not condition:
        raise BundleError(f"{part}: {what}")


def check_names(part: str, field: str, names: object, least: int) -> None:
    """`names` must be a tuple of at least `least` names, all different."""
    good = isinstance(names, tuple) and all(isinstance(n, str) for n in names)
    require(part, good, f"{field} is {names!r}, expected a list of names")
    assert isinstance(names, tuple)
    require(part, len(set(names)) == len(names), f"{field} repeat a name: {names}")
    expected = f"expected at least {least}"
    require(part, len(names) >= least, f"{field} has {len(names)} names, {expected}")


def check_numbers(
    part: str, field: str, values: object, count: int, least: float = -LARGEST
) -> None:
    """`values` must be a tuple of `count` numbers, `least` to LARGEST each."""
    good = isinstance(values, tuple) and all(
        type(v) in (int, float) and least <= v <= LARGEST for v in values
    )
    expected = f"expected a list of numbers, {least:g} to {LARGEST:g}"
    require(part, good, f"{field} is {values!r}, {expected}")
    assert isinstance(values, tuple)
    require(
        part, len(values) == count, f"{field} has {counted(len(values), 'value')}, expected {count}"
    )


def check_moments(part: str, field: str, values: object) -> None:
    """`values` must be a list or tuple of ascending whole numbers, up to LATEST each."""
    good = isinstance(values, (list, tuple)) and all(
        type(v) is int and abs(v) <= LATEST for v in values
    )
    require(part, good, f"{field} has other values than whole numbers")
    assert isinstance(values, (list, tuple))
    rising = all(a < b for a, b in itertools.pairwise(values))
    require(part, rising, f"{field} is not in ascending order")


def check_zone(part: str, field: str, zone: object) -> None:
    """`zone` must be a tuple of (second since 1970, offset of local time in seconds)."""
    good = isinstance(zone, tuple) and all(
        isinstance(row, tuple) and len(row) == 2 and set(map(type, row)) == {int} for row in zone
    )
    require(part, good, f"{field} is no list of [second, offset], whole numbers")
    assert isinstance(zone, tuple)
    good = all(abs(offset) <= DAY for _, offset in zone)
    require(part, good, f"{field} has an offset of more than a day")
    check_moments(part, field, [second for second, _ in zone])
