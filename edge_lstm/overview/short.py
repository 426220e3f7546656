"""The short form, which `edge-lstm train` prints as it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ..data import recordings
from ..data.recordings import Splits

FEW = 6  # classes that are told one by one
TITLES = {"train": "training", "val": "validation", "test": "test"}


def parts(splits: Splits) -> Mapping[str, list[recordings.Sequence]]:
    """The sequences, by the title of their split."""
    return {title: getattr(splits, part) for part, title in TITLES.items()}


def amounts(splits: Splits) -> str:
    """The steps and sequences of each split."""
    said = []
    for name, sequences in parts(splits).items():
        steps = sum(len(s.x) for s in sequences)
        several = "s" if len(sequences) > 1 else ""
        said.append(f"{name} {steps:,} steps of {len(sequences):,} sequence{several}")
    return ", ".join(said)


def class_counts(splits: Splits) -> dict[str, tuple[list[int], list[int]]]:
    """Class -> sequences and steps of it in each split. {} if there are no classes.

    A sequence whose class changes counts for each of its classes.
    """
    each = [_counts(sequences) for sequences in parts(splits).values()]
    if not any(steps for _, steps in each):
        return {}
    return {
        name: ([found[k] for found, _ in each], [steps[k] for _, steps in each])
        for k, name in enumerate(splits.classes)
    }


def _counts(sequences: Sequence[recordings.Sequence]) -> tuple[Counter[int], Counter[int]]:
    """Sequences, and steps, of each class."""
    found: Counter[int] = Counter()
    steps: Counter[int] = Counter()
    for sequence in sequences:
        if sequence.label is not None:
            found[sequence.label] += 1
            steps[sequence.label] += len(sequence.x)
        elif sequence.labels is not None:
            names, counts = np.unique(sequence.labels[sequence.labels >= 0], return_counts=True)
            found.update(names.tolist())
            steps.update(dict(zip(names.tolist(), counts.tolist(), strict=True)))
    return found, steps


def classes_in_words(splits: Splits) -> str:
    """The classes in each split, "" if there are none."""
    counts = class_counts(splits)
    if not counts:
        return ""
    per_row = any(s.labels is not None for s in splits.train)
    of = {name: each[per_row] for name, each in counts.items()}
    unit = "steps" if per_row else "sequences"
    if len(of) <= FEW:
        said = ", ".join(f"{name} {'/'.join(f'{n:,}' for n in each)}" for name, each in of.items())
        return f"{said} ({unit} of training/validation/test)"
    ranges = []
    for k, title in enumerate(TITLES.values()):
        numbers = [each[k] for each in of.values()]
        ranges.append(f"{title} {min(numbers):,} to {max(numbers):,}")
    return f"{len(of)}, with {unit} each: {', '.join(ranges)}"
