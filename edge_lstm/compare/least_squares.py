"""Ridge regression in closed form, directly for each output: a model for each step ahead.

The sums of products over the training split give the model of each penalty, and those over the
validation split its error. So a candidate's columns are made only once.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence as Many
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.recordings import Float64
from .lags import Rows, Seen
from .problem import Problem
from .rows import Row, microseconds

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5)  # columns are normalized
BLOCK = 4096  # rows whose columns are held at once


class Design(Protocol):
    """The columns that are made of the last `steps` values."""

    @property
    def steps(self) -> int: ...

    def __call__(self, given: Seen, rows: Rows, /) -> Float64:
        """(n, columns) for n rows of a sequence."""


Asked = Many[tuple[Many[int], Many[Design]]]


@dataclasses.dataclass(frozen=True)
class Sums:
    """Over rows of columns x and answers y. xx: (P, P), xy: (P, O), yy: (O,), x: (P,), y: (O,)."""

    count: int
    x: Float64
    y: Float64
    xx: Float64
    xy: Float64
    yy: Float64

    def __add__(self, other: Sums) -> Sums:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Sums(*(a + b for a, b in pairs))

    def about(self, x: Float64, y: Float64) -> Sums:
        """The same sums of x and y less these."""
        n = self.count
        return Sums(
            n,
            self.x - n * x,
            self.y - n * y,
            self.xx - np.outer(self.x, x) - np.outer(x, self.x) + n * np.outer(x, x),
            self.xy - np.outer(self.x, y) - np.outer(x, self.y) + n * np.outer(x, y),
            self.yy - 2 * self.y * y + n * y**2,
        )

    @property
    def means(self) -> tuple[Float64, Float64]:
        return self.x / self.count, self.y / self.count


@dataclasses.dataclass(frozen=True)
class Part:
    """The outputs that are answered from the same columns: design @ W + b, normalized."""

    design: Design
    outputs: NDArray[np.int64]
    penalties: Float64
    W: Float64
    b: Float64


def sums(design: Design, read: Many[tuple[Seen, Float64]], outputs: NDArray[np.int64]) -> Sums:
    """Over the rows at which all `outputs` are known."""
    found: Sums | None = None
    for given, wanted in read:
        truth = wanted[:, outputs]
        rows = np.flatnonzero(np.isfinite(truth).all(axis=1))
        for start in range(0, max(len(rows), 1), BLOCK):
            block = rows[start : start + BLOCK]
            x = design(given, block)
            y = truth[block]
            here = Sums(len(x), x.sum(0), y.sum(0), x.T @ x, x.T @ y, (y**2).sum(0))
            found = here if found is None else found + here
    assert found is not None
    return found


def solved(learned: Sums, penalty: float) -> tuple[Float64, Float64]:
    """W (P, O) and b (O,) of the least squared error plus `penalty` times that of W."""
    x, y = learned.means
    centred = learned.about(x, y)
    penalized = centred.xx + penalty * np.eye(len(x))
    W: Float64 = np.linalg.solve(penalized, centred.xy).astype(np.float64)
    return W, y - x @ W


def validated(learned: Sums, val: Sums) -> Float64:
    """(penalties, O) the mean squared errors on the validation split."""
    x, y = learned.means
    centred = learned.about(x, y)
    values, vectors = np.linalg.eigh(centred.xx)
    turned = vectors.T @ centred.xy
    judged = val.about(x, y)
    xx = vectors.T @ judged.xx @ vectors
    xy = vectors.T @ judged.xy
    errors = []
    for penalty in PENALTIES:
        W = turned / (np.maximum(values, 0) + penalty)[:, None]
        errors.append(judged.yy - 2 * (W * xy).sum(axis=0) + (W * (xx @ W)).sum(axis=0))
    return np.array(errors) / max(val.count, 1)


def chosen(problem: Problem, designs: Many[Design], outputs: NDArray[np.int64]) -> list[Part]:
    """For each output the design and the penalty of the least error on the validation split.

    With `refit` they are then fitted to the validation split too.
    """
    measured = []
    learned = []
    for design in designs:
        train = sums(design, problem.train, outputs)
        val = sums(design, problem.val, outputs)
        measured.append(validated(train, val))
        learned.append(train + val if problem.case.config.train.refit else train)
    flat = np.stack(measured).reshape(len(designs) * len(PENALTIES), len(outputs))
    best, penalty = np.divmod(flat.argmin(axis=0), len(PENALTIES))
    parts = []
    for k, design in enumerate(designs):
        own = np.flatnonzero(best == k)
        if not len(own):
            continue
        penalties = np.array(PENALTIES)[penalty[own]]
        W = np.empty((len(learned[k].x), len(own)))
        b = np.empty(len(own))
        for value in np.unique(penalties):
            here = penalties == value
            every_W, every_b = solved(learned[k], float(value))
            W[:, here] = every_W[:, own[here]]
            b[here] = every_b[own[here]]
        parts.append(Part(design, outputs[own], penalties, W, b))
    return parts


def answer(parts: Many[Part], given: Seen, rows: Rows) -> Float64:
    """(n, O) at n rows of a sequence, normalized."""
    found = np.empty((len(rows), sum(len(part.outputs) for part in parts)))
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        for part in parts:
            found[block, part.outputs] = part.design(given, rows[block]) @ part.W + part.b
    return found


def row(name: str, title: str, problem: Problem, asked: Asked, note: str) -> Row:
    """The row of a model that is linear in its columns.

    asked: the designs to choose from, for groups of outputs.
    """
    began = time.perf_counter()
    parts = [
        part
        for outputs, designs in asked
        for part in chosen(problem, designs, np.asarray(outputs, np.int64))
    ]
    seconds = time.perf_counter() - began
    found = [answer(parts, given, np.arange(len(given.values))) for given in problem.test]
    given = problem.test[0]
    last = np.array([len(given.values) - 1])
    return Row(
        name,
        title,
        problem.measured(found),
        sum(part.W.size + part.b.size for part in parts),
        microseconds(lambda: answer(parts, given, last)),
        "NumPy, single step",
        seconds,
        f"{_lengths(parts)}; {note}",
    )


def _lengths(parts: Many[Part]) -> str:
    by_length = sorted((part.design for part in parts), key=lambda design: design.steps)
    shortest = str(by_length[0])
    longest = str(by_length[-1])
    return shortest if shortest == longest else f"{shortest} to {longest}"
