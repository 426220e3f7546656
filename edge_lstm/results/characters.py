"""How good the answers to a text are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.characters import next_characters
from ..data.recordings import Float64, Sequence


def bits_of(sequence: Sequence, logits: NDArray[Any]) -> Float64:
    """logits: (T, V) -> (T - 1,) -log2 of the probability of the next character."""
    scores = logits[:-1].astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    right = np.take_along_axis(scores, next_characters(sequence)[:, None], axis=1)[:, 0]
    bits: Float64 = (np.log(np.exp(scores).sum(axis=1)) - right) / math.log(2)
    return bits
