"""Data in memory as recordings: arrays, lists of arrays, PyTorch's data sets, recordings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError

from .in_frames import is_frame
from .recordings import Float64, Recording

SHAPES = "expected numbers (N, T, C), one recording (T, C), or a list of recordings (T, C)"


class Given(NamedTuple):
    """The recordings, and what their answers are.

    numbers   whether `y` was given, not classes. None if there are no answers
    per_step  whether there is an answer for each step, not one for each recording
    single    whether the data was one recording (T, C), not several
    """

    recordings: list[Recording]
    numbers: bool | None = None
    per_step: bool = False
    single: bool = False


def given(
    data: Any, y: Any = None, groups: Iterable[Any] | None = None, *, numbers: bool | None = None
) -> Given:
    """Data as `edge_lstm.fit` takes it, but for frames.

    data: (N, T, C), (T, C), a list of (T, C), a `Dataset` of x or (x, y), or an iterable of
    `Recording`.
    y: (N,) or (N, T) classes, (N,) or (N, T) or (N, T, k) numbers, or a list with one of (), (T,)
    and (T, k) for each recording. None if there are no answers.
    groups: (N,) the person or the device that each recording is of.
    numbers: whether y is numbers. None: it is if it is of a floating type.
    Raises DataError.
    """
    single = hasattr(data, "ndim") and data.ndim == 2
    if single:
        data, y = [data], None if y is None else [y]
    items, pairs = _items(data, paired=y is None)
    if items and all(isinstance(item, Recording) for item in items):
        if y is not None:
            raise DataError("y is given beside recordings; expected it in their `labels` or `y`")
        return _of_recordings(items)
    y = pairs if y is None else y
    xs = [_numbers(x, f"x[{k}]") for k, x in enumerate(items)]
    if not xs:
        raise DataError(f"the data has no recordings; {SHAPES}")
    for k, x in enumerate(xs):
        if x.shape[1] != xs[0].shape[1]:
            wide = f"x[{k}] has {x.shape[1]} channels, and x[0] has {xs[0].shape[1]}"
            raise DataError(f"{wide}; expected the same channels in every recording")
    names = [str(k) for k in range(len(xs))]
    of = names if groups is None else [str(group) for group in groups]
    if len(of) != len(xs):
        raise DataError(f"groups has {len(of)} values for {len(xs)} recordings; expected one each")
    found = [Recording(*each) for each in zip(names, of, xs, strict=True)]
    if y is None:
        return Given(found, single=single)
    return _answered(found, y, numbers, single=single)


def _items(data: Any, *, paired: bool) -> tuple[list[Any], list[Any] | None]:
    """The recordings, and the answers of a data set that gives pairs of x and y, else None."""
    try:
        items = _one_by_one(data)
    except TypeError as e:
        raise DataError(f"the data is {type(data).__name__}; {SHAPES}") from e
    if paired and items and all(isinstance(item, tuple) and len(item) == 2 for item in items):
        return [x for x, _ in items], [y for _, y in items]
    return items, None


def _one_by_one(values: Any) -> list[Any]:
    """In their order: pandas would take `values[0]` by its index. Raises TypeError."""
    if isinstance(values, Mapping) or is_frame(values):
        raise TypeError
    if hasattr(values, "__iter__"):
        return list(values)
    return [values[k] for k in range(len(values))]  # a data set need not iterate


def _numbers(x: Any, where: str) -> Float64:
    """(T, C) float64. Raises DataError for another shape, text, and no steps."""
    try:
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"it holds {array.dtype}")
    except (TypeError, ValueError, RuntimeError) as e:  # a tensor on a GPU, or rows of two lengths
        why = str(e).splitlines()[0]
        raise DataError(f"{where} is no array of numbers: {why}; {SHAPES}") from e
    if array.ndim != 2 or not len(array):
        raise DataError(f"{where} has shape {array.shape}; {SHAPES}, with at least one step")
    return array.astype(np.float64)


def _answered(found: list[Recording], y: Any, numbers: bool | None, *, single: bool) -> Given:
    try:
        each = [np.asarray(answer) for answer in _one_by_one(y)]
    except TypeError as e:
        raise DataError(f"y is {type(y).__name__}; expected one answer for each recording") from e
    if len(each) != len(found):
        raise DataError(f"y has {len(each)} answers for {len(found)} recordings; expected one each")
    if numbers is None:
        numbers = all(answer.dtype.kind == "f" for answer in each)
    per_step = each[0].ndim > 0
    for k, (recording, answer) in enumerate(zip(found, each, strict=True)):
        steps = len(recording.x)
        wanted: list[tuple[int, ...]] = [(steps,)] if per_step else [()]
        if numbers and per_step:
            wanted = [(steps,), (steps, answer.shape[-1])]
        if answer.shape not in wanted:
            shapes = " or ".join(map(str, wanted))
            raise DataError(
                f"y[{k}] has shape {answer.shape}, and x[{k}] has {steps} steps; expected {shapes}:"
                " one answer for each recording, or one for each of its steps"
            )
        made: dict[str, Any] = (
            {"y": _values(answer, steps, k)}
            if numbers
            else {"labels": np.full(steps, _texts(answer, k))}
        )
        found[k] = dataclasses.replace(recording, **made)
    return Given(found, numbers, per_step, single)


def _values(answer: NDArray[Any], steps: int, k: int) -> Float64:
    """(T, k). The answer to a whole recording is known at its last step alone."""
    try:
        values = answer.astype(np.float64)
    except (TypeError, ValueError) as e:
        raise DataError(f"y[{k}] is {answer.dtype}; expected numbers") from e
    if answer.ndim:
        return values.reshape(steps, -1)
    known: Float64 = np.full((steps, 1), np.nan)
    known[-1] = values
    return known


def _texts(answer: NDArray[Any], k: int) -> NDArray[np.str_]:
    """The names of classes, "" if there is none: None and NaN."""
    names = ["" if a is None or a != a else str(a).strip() for a in answer.ravel().tolist()]
    if "" in names and not answer.ndim:
        raise DataError(f"y[{k}] is {answer.item()!r}; expected a class for every recording")
    return np.array(names).reshape(answer.shape)


def _of_recordings(found: list[Recording]) -> Given:
    if any(r.anomalous is not None for r in found):
        raise DataError(
            "a recording has `anomalous` rows, which data in memory can't have; write a file, and "
            "name `known_anomalies` in [data]"
        )
    with_y = [r.y is not None for r in found]
    with_labels = [r.labels is not None for r in found]
    for name, has in (("y", with_y), ("labels", with_labels)):
        if any(has) and not all(has):
            none = found[has.index(False)].name
            raise DataError(f"recording {none!r} has no `{name}`, and others have; expected all")
    if any(with_y):
        return Given(found, True, True)
    if not any(with_labels):
        return Given(found)
    changing = any(r.labels is not None and (r.labels != r.labels[0]).any() for r in found)
    return Given(found, False, changing)
