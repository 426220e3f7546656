"""The part of the test split that a slow backend streams.

The recordings are whole, as many as the limit allows, the classes in turn. Only if there are so few
long ones that the limit would leave fewer than FEW, all are cut to a common length.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence as Many
from typing import Any

import numpy as np

from edge_lstm import Sequence

from ..quantize.calibration import in_turns

FEW = 8


@dataclasses.dataclass(frozen=True)
class Extent:
    """recordings, steps: those that are streamed in a pass. of_recordings, of_steps: those of the
    test split. cut: the length that longer recordings are cut to, or None if none is cut. classes:
    whether they were drawn in turn."""

    recordings: int
    steps: int
    of_recordings: int
    of_steps: int
    cut: int | None = None
    classes: bool = False

    @property
    def whole(self) -> bool:
        return self.steps == self.of_steps

    @property
    def part(self) -> str:
        return "the test split" if self.whole else "a part of the test split"

    def words(self) -> str:
        if self.whole:
            s = "s" if self.recordings > 1 else ""
            return f"the whole test split ({self.recordings:,} recording{s}, {self.steps:,} steps)"
        told = [
            f"{self.recordings:,} of {self.of_recordings:,} recordings",
            f"{self.steps:,} of {self.of_steps:,} steps",
        ]
        if self.recordings < self.of_recordings:
            told.append(f"drawn evenly over {'the classes' if self.classes else 'all'}")
        if self.cut is not None:
            told.append(f"none longer than its first {self.cut:,} steps")
        return f"{self.part} ({', '.join(told)})"


@dataclasses.dataclass(frozen=True)
class Drawn:
    """test: the recordings, in the order of the split. numbers: theirs in the split, from 0."""

    test: Many[Sequence]
    numbers: Many[int]
    extent: Extent


def whole(test: Many[Sequence]) -> Drawn:
    steps = sum(len(sequence.x) for sequence in test)
    extent = Extent(len(test), steps, len(test), steps)
    return Drawn(test, range(len(test)), extent)


def draw(test: Many[Sequence], limit: int, *, cuts: bool) -> Drawn:
    """Recordings of at most `limit` steps together, but at least one.

    cuts: whether a recording may be cut. A network that reads whole sequences answers others then.
    """
    everything = whole(test)
    if everything.extent.steps <= limit:
        return everything
    longest = limit // min(FEW, len(test)) if cuts else max(len(sequence.x) for sequence in test)
    strata = defaultdict(list)
    for number in np.random.default_rng(0).permutation(len(test)).tolist():
        strata[test[number].label].append(number)
    numbers: list[int] = []
    steps = 0
    for number in in_turns(list(strata.values())):
        length = min(len(test[number].x), max(1, longest))
        if numbers and steps + length > limit:
            break
        numbers.append(number)
        steps += length
    numbers.sort()
    pieces = [first(test[number], max(1, longest)) for number in numbers]
    extent = Extent(
        len(numbers),
        steps,
        len(test),
        everything.extent.steps,
        longest if any(len(test[n].x) > longest for n in numbers) else None,
        len(strata) > 1,
    )
    return Drawn(pieces, numbers, extent)


def first(sequence: Sequence, steps: int) -> Sequence:
    """The first steps of a recording, or all if it has no more."""
    length = len(sequence.x)
    if length <= steps:
        return sequence
    rows: dict[str, Any] = {
        field.name: value[:steps]
        for field in dataclasses.fields(sequence)
        if isinstance(value := getattr(sequence, field.name), np.ndarray) and len(value) == length
    }
    return dataclasses.replace(sequence, name=f"{sequence.name}[0:{steps}]", **rows)
