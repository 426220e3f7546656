"""What looks wrong in the data, a sentence for each thing. Nothing is changed.

wild       a few values are far from all others: a sensor's code for "missing", a slipped digit
missing    many values of a channel are missing, or many in a row
constant   a channel doesn't change in the training split
given away a channel tells a target or a class by itself at each row
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .chunks import let_go
from .recordings import Float64, Recording
from .robust import centre_and_spread

FAR = 20.0  # spreads from the median
LONELY = 4.0  # times as far from the median as the next value
FEW = 0.1  # the largest share of the values that is wild. -200 in 4 % of the rows is common
SAMPLE = 100_000  # values that a spread is estimated from
MANY_MISSING = 0.1  # of a channel's values
LONG_GAP = 100  # rows in a row
EXACT = 1e-6  # of the target's deviation


class Setting(NamedTuple):
    """What the messages depend on.

    missing   the key of [data]
    has_codes whether [data] has `missing_values`
    targets   the columns that are answered
    """

    missing: str = "refuse"
    has_codes: bool = False
    targets: tuple[str, ...] = ()


def doubts(
    found: Sequence[Recording],
    train: Sequence[Recording],
    channels: tuple[str, ...],
    setting: Setting,
) -> list[str]:
    """found: all recordings. train: those of training. channels: the first ones of x."""
    said: list[str] = []
    for k, name in enumerate(channels):
        said += _of_wild(f"channel {name!r}", [r.x for r in found], k, found, setting)
        said += _of_missing(name, k, found)
    answered = [r for r in found if r.y is not None]
    for k, name in enumerate(setting.targets if answered else ()):
        values = [r.y for r in answered if r.y is not None]
        said += _of_wild(f"target {name!r}", values, k, answered, setting)
    constant = [(name, c) for k, name in enumerate(channels) if (c := _constant(train, k))]
    if constant:
        each = ", ".join(f"{name!r} ({value[0]:g})" for name, value in constant)
        one = len(constant) == 1
        said.append(
            f"channel{'' if one else 's'} {each} {'is' if one else 'are'} constant in the "
            "training split, and can tell nothing; look at the data, or leave "
            f"{'it' if one else 'them'} out of `channels`"
        )
    said += _given_away(train, channels, setting.targets)
    return said


class Wild(NamedTuple):
    """values: the wild ones. recording, row: of the farthest. ratio: in spreads."""

    values: int
    recording: int
    row: int
    value: float
    median: float
    ratio: float


def _columns(arrays: Sequence[Float64], k: int) -> Iterator[Float64]:
    """(T,) of each array, which may be larger than the memory together."""
    for array in arrays:
        yield array[:, k]
        let_go(array)


def wild(arrays: Sequence[Float64], k: int = 0) -> Wild | None:
    """The values of a column that are far from all others, None if there are none.

    arrays: (T, C) each. k: the column.
    """
    known = np.concatenate([column[~np.isnan(column)] for column in _columns(arrays, k)])
    if len(known) < 3:
        return None
    sample = known[:: max(1, len(known) // SAMPLE)]
    median, spread = centre_and_spread(sample)
    farthest = max(float(known.max()) - median, median - float(known.min()))
    if not farthest > FAR * spread > 0:
        return None
    distance = np.abs(np.subtract(known, median, out=known), out=known)
    first = max(int(len(distance) * (1 - FEW)) - 1, 0)
    distance.partition(first)
    tail = np.sort(distance[first:])
    jumps = np.flatnonzero((tail[1:] >= LONELY * tail[:-1]) & (tail[1:] >= FAR * spread))
    if not len(jumps):
        return None
    border = tail[jumps[0] + 1]
    for place, column in enumerate(_columns(arrays, k)):
        far = np.flatnonzero(np.abs(column - median) >= border)
        if len(far):
            value = float(column[far[0]])
            ratio = abs(value - median) / spread
            count = int((tail >= border).sum())
            return Wild(count, place, int(far[0]), value, median, ratio)
    return None


def _of_wild(
    name: str,
    arrays: Sequence[Float64],
    k: int,
    found: Sequence[Recording],
    setting: Setting,
) -> Iterator[str]:
    """k: the column of the arrays. found: the recordings that they are of."""
    far = wild(arrays, k)
    if far is None:
        return
    more = f" (and {far.values - 1:,} more so far off)" if far.values > 1 else ""
    value = f"{far.value:.10g}"
    advice = "correct it"
    if setting.has_codes:
        with_gaps = " with missing = 'ffill'" if setting.missing == "refuse" else ""
        advice = f'a sensor\'s code for "missing"? Set missing_values = [{value}]{with_gaps}'
    yield (
        f"{name}: {_place(found[far.recording], far.row)} has {value}{more}, "
        f"{far.ratio:,.0f} times the usual spread from the median ({far.median:g}); {advice}, "
        'or normalize = "robust"'
    )


def _of_missing(name: str, k: int, found: Sequence[Recording]) -> list[str]:
    gaps = [np.isnan(column) for column in _columns([r.x for r in found], k)]
    count = sum(int(gap.sum()) for gap in gaps)
    if not count:
        return []
    share = count / sum(map(len, gaps))
    runs = [_longest_run(gap) for gap in gaps]
    worst = max(range(len(runs)), key=lambda k: runs[k][1])
    start, length = runs[worst]
    if share < MANY_MISSING and length < LONG_GAP:
        return []
    said = f"channel {name!r}: {100 * share:.3g} % of the values are missing"
    return [f"{said}, up to {length:,} in a row, from {_place(found[worst], start)} on"]


def _longest_run(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """The start and the length of the longest run of true."""
    borders = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    starts = borders[::2]
    lengths = borders[1::2] - starts
    return (int(starts[lengths.argmax()]), int(lengths.max())) if len(starts) else (0, 0)


def _constant(train: Sequence[Recording], k: int) -> tuple[float] | None:
    """The value of a channel that has no other."""
    columns = _columns([r.x for r in train], k)
    low, high = np.transpose([(np.fmin.reduce(c), np.fmax.reduce(c)) for c in columns])
    low = np.fmin.reduce(low)
    high = np.fmax.reduce(high)
    return (float(low),) if low == high else None


def _given_away(
    train: Sequence[Recording], channels: tuple[str, ...], targets: tuple[str, ...]
) -> Iterator[str]:
    for k, name in enumerate(channels):
        for column, target in enumerate(targets):
            pairs = [(r.x[:, k], r.y[:, column]) for r in train if r.y is not None]
            if pairs and proportional(*map(np.concatenate, zip(*pairs, strict=True))):
                yield (
                    f"channel {name!r} has the same values as the target {target!r}, but for unit "
                    "and offset, at every row: the answer is given away; leave it out of "
                    "`channels` if a board won't have it"
                )
        labelled = [(r.x[:, k], r.labels) for r in train if r.labels is not None]
        if labelled and _tells_class([x for x, _ in labelled], [of for _, of in labelled]):
            yield (
                f"channel {name!r} has a value of its own for each class: the label is given "
                "away; leave it out of `channels` if a board won't have it"
            )


def proportional(x: Float64, y: Float64) -> bool:
    """Whether both have the same values, but for unit and offset. (T,), NaN if missing."""
    both = ~(np.isnan(x) | np.isnan(y))
    if both.sum() < 3:
        return False
    x = x[both] - x[both].mean()
    y = y[both] - y[both].mean()
    scale = float(x @ x)
    spread = float(np.abs(y).max())
    if not scale > 0 or not spread > 0:
        return False
    return bool(np.abs(y - x * (float(x @ y) / scale)).max() <= EXACT * spread)


def _tells_class(columns: Sequence[Float64], labels: Sequence[NDArray[np.str_]]) -> bool:
    """Whether a channel has as many values as there are classes, and each stands for one."""
    names: dict[str, set[float]] = {}
    for column, of in zip(columns, labels, strict=True):
        for name in np.unique(of[of != ""]).tolist():
            values = column[of == name]
            if values.min() != values.max():  # or one of them is missing
                return False
            names.setdefault(name, set()).add(float(values[0]))
    values_of = [value for each in names.values() for value in each]
    return len(names) > 1 and len(set(values_of)) == len(values_of) == len(names)


def _place(recording: Recording, row: int) -> str:
    """row: of x, from 0."""
    if recording.file is None:
        return f"{recording.name} step {recording.start + row}"
    rows = recording.rows
    number = recording.start + row + 1 if rows is None else int(rows[row])
    return f"{recording.file} row {number:,}"


def some(notes: Sequence[Any], most: int = 5) -> tuple[str, ...]:
    """The first ones, and how many more there are."""
    left = len(notes) - most
    return (*notes[:most], *([f"and {left:,} more of this kind"] if left > 0 else []))
