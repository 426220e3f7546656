"""Texts as indices into a vocabulary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs.characters import UNKNOWN

from .recordings import PARTS, Float64, Parts, Recording, Sequence, Splits


def of_characters(parts: Parts, channels: tuple[str, ...]) -> Splits:
    """The recordings, of code points, as sequences of indices.

    The vocabulary is the unknown and the characters of the training split, by code point. Others
    become the unknown. Raises DataError if the training split has only one character.
    """
    known = sorted({int(p) for recording in parts["train"] for p in np.unique(recording.x)})
    if len(known) < 2:
        one = f"one character, {chr(known[0])!r}, again and again"
        raise DataError(f"the training split has {one}; expected at least 2")
    classes = (UNKNOWN, *map(chr, known))
    train, val, test = (
        [Sequence(r.full_name, r.group, indices(r, classes)) for r in parts[part]] for part in PARTS
    )
    return Splits(train, val, test, channels, classes)


def indices(recording: Recording, classes: tuple[str, ...]) -> Float64:
    """(T, 1) the index of each character into the classes, 0 if it is not among them."""
    known = {ord(character): k for k, character in enumerate(classes[1:], 1)}
    points, places = np.unique(recording.x[:, 0], return_inverse=True)  # few, in a long text
    return np.array([[known.get(int(point), 0)] for point in points], np.float64)[places]


def next_characters(sequence: Sequence) -> NDArray[np.int64]:
    """(T - 1,) the index of the character after each step but the last."""
    return sequence.x[1:, 0].astype(np.int64)
