"""The models that a language model has to beat.

They know how often each character comes, and how often it comes after the one before. One is added
to each count.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from ..data.recordings import Float64
from .rows import Case, Row, microseconds


def unigram(case: Case) -> Row:
    began = time.perf_counter()
    counts = np.bincount(
        np.concatenate([s.x[:, 0] for s in case.learned]).astype(np.int64),
        minlength=len(case.spec.answer.classes),
    )
    logits = _log_share(counts)
    seconds = time.perf_counter() - began
    found = [np.tile(logits, (len(s.x), 1)) for s in case.splits.test]
    return Row(
        "unigram",
        "unigram",
        case.measure(found),
        logits.size,
        None,
        "",
        seconds,
        "how often each character comes",
    )


def bigram(case: Case) -> Row:
    began = time.perf_counter()
    counts = np.zeros((len(case.spec.answer.classes),) * 2, np.int64)
    for sequence in case.learned:
        characters = sequence.x[:, 0].astype(np.int64)
        np.add.at(counts, (characters[:-1], characters[1:]), 1)
    logits = _log_share(counts)
    seconds = time.perf_counter() - began
    found = [logits[s.x[:, 0].astype(np.int64)] for s in case.splits.test]
    duration = microseconds(lambda: logits[3 % len(logits)])
    note = "how often each character follows the one before"
    return Row(
        "bigram",
        "bigram",
        case.measure(found),
        logits.size,
        duration,
        "NumPy, single step",
        seconds,
        note,
    )


def _log_share(counts: NDArray[np.int64]) -> Float64:
    """(..., V) -> the logarithm of each one's share of its row, with one added to each."""
    more = counts + 1.0
    shares: Float64 = np.log(more / more.sum(axis=-1, keepdims=True))
    return shares
