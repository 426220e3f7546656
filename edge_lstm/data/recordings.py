"""The recordings that the sources give, and the sequences that training takes."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections import abc
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.inputs.text import STANDARD, TextForm
from edge_lstm_runtime.shown import counted

from .chunks import let_go, parts

Float64 = NDArray[np.float64]
T = TypeVar("T")
PARTS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Recording:
    """One unbroken stream of samples, as a source gave it.

    x       (T, C) float64, raw units, NaN if missing
    labels  None, or (T,) the class name of each row, "" if it is unknown
    y       None, or (T, targets) float64 the values of target columns at each row, raw units, NaN
            if unknown
    part    "train" or "test" if the source says so, else None
    start   this recording's first row in the one it was cut from, and the `cut` flag that it was
    time    None, or (T,) float64 seconds, of any origin
    anomalous  None, or (T,) whether a row lies in a window that is known as anomalous
    file    the file it was read from, if that is a table
    rows    None, or (T,) the row of each in that file, counted from 1, if they are not all of it
    form    the form of text in which a board can read the same
    notes   what a reader must know about the data, a sentence each

    >>> import numpy as np, edge_lstm as el
    >>> walk = el.Recording("walk 1", "anna", np.zeros((100, 3)), labels=np.full(100, "walk"))
    >>> walk
    Recording('walk 1', 100 steps, 3 channels, class 'walk')
    >>> walk.piece(10, 30).full_name
    'walk 1[10:30]'

    `fit` takes a list of them: `el.fit([walk, ...])`.
    """

    name: str
    group: str
    x: Float64
    labels: NDArray[np.str_] | None = None
    part: str | None = None
    start: int = 0
    cut: bool = False
    y: Float64 | None = None
    time: Float64 | None = None
    anomalous: NDArray[np.bool_] | None = None
    file: Path | None = None
    rows: NDArray[np.int64] | None = None
    form: TextForm = STANDARD
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Recording({self.name!r}, {_size(self.x)}{self._answer})"

    @property
    def _answer(self) -> str:
        if self.labels is not None:
            names = np.unique(self.labels)
            one = f", class {str(names[0])!r}"
            return one if len(names) == 1 else f", {len(names)} classes"
        return "" if self.y is None else f", {counted(self.y.shape[1], 'target')}"

    def piece(self, start: int, stop: int) -> Recording:
        """Its rows from `start` to `stop`, the last one excluded. `x` is then (stop - start, C)."""
        if (start, stop) == (0, len(self.x)):
            return self
        rows = ("labels", "y", "time", "anomalous", "rows")
        cut: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[start:stop]
            for name in rows
        }
        return dataclasses.replace(
            self, x=self.x[start:stop], start=self.start + start, cut=True, **cut
        )

    @property
    def full_name(self) -> str:
        """The name, with the rows (counted from 0, the last one excluded) if it is a piece."""
        return f"{self.name}[{self.start}:{self.start + len(self.x)}]" if self.cut else self.name


def _size(x: Float64) -> str:
    return f"{counted(x.shape[0], 'step')}, {counted(x.shape[1], 'channel')}"


Parts = dict[str, list[Recording]]  # of PARTS


@dataclasses.dataclass(frozen=True)
class Sequence:
    """One stream, with a label, a label for each step, or none.

    x      (T, C) float64, raw units, NaN if missing; of a text (T, 1) indices into the classes, the
           characters
    label  index into the classes, if a whole sequence has one; else None
    labels None, or (T,) int64 index into the classes at each step, -1 if it is unknown
    y      (T, targets) float64 what to answer at each step, raw units, NaN if unknown; None if the
           inputs themselves say it
    time, anomalous  as of a `Recording`
    cut    whether it begins or ends at a change of its recording's label

    >>> import edge_lstm as el
    >>> sequence = el.load_data("mine.toml").test[0]
    >>> sequence
    Sequence('mine:2', 20 steps, 3 channels, class 0)
    >>> sequence.normal is sequence.x  # no row is known as anomalous
    True
    """

    name: str
    group: str
    x: Float64
    label: int | None = None
    y: Float64 | None = None
    time: Float64 | None = None
    anomalous: NDArray[np.bool_] | None = None
    cut: bool = False
    labels: NDArray[np.int64] | None = None

    def __repr__(self) -> str:
        answer = "" if self.label is None else f", class {self.label}"
        if self.labels is not None:
            answer = ", a class at each step"
        elif self.y is not None:
            answer = f", {counted(self.y.shape[1], 'target')}"
        return f"Sequence({self.name!r}, {_size(self.x)}{answer})"

    @property
    def normal(self) -> Float64:
        """x (T, C), with NaN in the rows that are known as anomalous."""
        return (
            self.x if self.anomalous is None else np.where(self.anomalous[:, None], np.nan, self.x)
        )


def in_turn(sequences: abc.Iterable[Sequence]) -> abc.Iterator[Sequence]:
    """Each, whose values are let go of when the next one is asked for. See `chunks.let_go`."""
    for sequence in sequences:
        yield sequence
        let_go(sequence.x)


def narrowest(values: Float64) -> NDArray[np.float32] | Float64:
    """The values as float32 if that loses none of them, to write them in half the bytes."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return narrow if np.array_equal(narrow, values, equal_nan=True) else values


def shuffled(recordings: abc.Sequence[T]) -> list[T]:
    """In an order that is always the same. It is not the file's, which is often sorted by class."""
    return [recordings[n] for n in np.random.default_rng(0).permutation(len(recordings))]


@dataclasses.dataclass(frozen=True)
class Splits:
    """The data, divided. Sequences are whole pieces. Only training cuts them into windows.

    form: the form of text in which a board can read the same samples.
    notes: what a reader must know about the data, a sentence each.
    robust: whether the training's statistics are those that a few wild values don't move.
    The fingerprint is computed once: change no array after that.

    >>> import edge_lstm as el
    >>> splits = el.load_data("mine.toml")
    >>> splits.channels, splits.classes, len(splits.train)
    (('ax', 'ay', 'az'), ('rest', 'walk'), 16)
    >>> len(splits.fingerprint)
    64
    """

    train: list[Sequence]
    val: list[Sequence]
    test: list[Sequence]
    channels: tuple[str, ...]
    classes: tuple[str, ...] = ()
    form: TextForm = STANDARD
    notes: tuple[str, ...] = ()
    robust: bool = False

    def __repr__(self) -> str:
        counts = ", ".join(f"{part} {len(getattr(self, part))}" for part in PARTS)
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"Splits({counts} sequences; {counted(len(self.channels), 'channel')}{classes})"

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 over every name, label and value. A run notices by it if its data has changed."""
        digest = hashlib.sha256()

        def add(*values: Any) -> None:
            digest.update("\0".join(str(v) for v in values).encode() + b"\1")

        add(*self.channels)
        add(*self.classes)
        for part in (self.train, self.val, self.test):
            add(len(part))
            for sequence in part:
                add(sequence.name, sequence.group, sequence.label, *sequence.x.shape)
                for values in (sequence.x, sequence.y):
                    for rows in () if values is None else parts(values):
                        # One NaN, whatever its payload was.
                        missing = np.isnan(rows)
                        one = np.where(missing, np.nan, rows) if missing.any() else rows
                        digest.update(np.ascontiguousarray(one).ravel().data)
                if sequence.labels is not None:
                    digest.update(sequence.labels.tobytes())
                if sequence.anomalous is not None:
                    digest.update(sequence.anomalous.tobytes())
        return digest.hexdigest()


def told(splits: Splits, form: TextForm, notes: tuple[str, ...], *, robust: bool) -> Splits:
    """The same data with other facts about it."""
    found = dataclasses.replace(splits, form=form, notes=notes, robust=robust)
    return known_by(found, splits.fingerprint) if "fingerprint" in splits.__dict__ else found


def known_by(splits: Splits, fingerprint: str) -> Splits:
    """The same with its fingerprint, which was computed before."""
    found = dataclasses.replace(splits)
    found.__dict__["fingerprint"] = fingerprint  # where `cached_property` keeps it
    return found


def let_go_of(splits: Splits) -> None:
    """Tell the system that the values are not needed for now. See `chunks.let_go`."""
    for _ in in_turn((*splits.train, *splits.val, *splits.test)):
        pass
