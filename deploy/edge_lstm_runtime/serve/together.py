"""The messages of several streams of one model, answered side by side.

A message costs Python more than its steps cost the model. What is done to rows of numbers costs
nearly the same for one row as for 64. So the rows that all streams wait for are looked at together:
their answers in words, their range, whether they are finite. The state, the clock and the detector
of each stream are its own, and answers are those of one stream after the other, to the byte.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import EdgeLstmError
from .stream import Errors, Stepped, Stream, Work

Job = tuple[Stream, Sequence[bytes]]  # and its messages in their order


def answer(jobs: Sequence[Job], form: str) -> list[Work | EdgeLstmError]:
    """jobs: of streams of one model, each once. Returns the work of each, or why it failed."""
    found: dict[int, Work | EdgeLstmError] = {}
    works = [stream.answering(payloads, form) for stream, payloads in jobs]
    asked: dict[int, NDArray[np.float64]] = {}

    def go_on(k: int, stepped: Stepped | None) -> None:
        try:
            asked[k] = works[k].send(stepped)  # type: ignore[arg-type]
        except StopIteration as end:
            found[k] = end.value
        except EdgeLstmError as e:
            found[k] = e

    for k in range(len(jobs)):
        go_on(k, None)
    while asked:
        now = dict(asked)
        asked.clear()
        stepped = _stepped([jobs[k][0] for k in now], list(now.values()), form)
        for k, told in zip(now, stepped, strict=True):
            if isinstance(told, Stepped):
                go_on(k, told)
            else:
                found[k] = told
    return [found[k] for k in range(len(jobs))]


def _stepped(
    streams: list[Stream], rows: list[NDArray[np.float64]], form: str
) -> list[Stepped | EdgeLstmError]:
    """rows: (n, C) of each stream."""
    spec = streams[0].session.spec
    xs = rows[0] if len(rows) == 1 else np.concatenate(rows)
    outputs = np.empty((len(xs), spec.answer.size), np.float32)
    ends = itertools.accumulate(map(len, rows))
    parts = [slice(end - len(part), end) for part, end in zip(rows, ends, strict=True)]
    errors: list[Errors | EdgeLstmError] = []
    for stream, part in zip(streams, parts, strict=True):
        try:
            errors.append(stream.steps(xs[part], outputs[part]))
        except EdgeLstmError as e:
            outputs[part] = np.nan
            errors.append(e)
    used = np.asarray(np.isfinite(outputs).all(axis=1))  # NaN is a refused row
    if not used.all():
        for k, (part, found) in enumerate(zip(parts, errors, strict=True)):
            try:
                if isinstance(found, dict):
                    streams[k].refuse(np.flatnonzero(~used[part]).tolist(), found)
            except EdgeLstmError as e:  # its backend can't be reset
                errors[k] = e
                used[part] = False
    far = spec.inputs.out_of_range(xs)
    texts = spec.answer.texts(outputs[used]) if form == "json" and used.any() else []
    at = 0
    told: list[Stepped | EdgeLstmError] = []
    for stream, part, found in zip(streams, parts, errors, strict=True):
        if isinstance(found, EdgeLstmError):
            told.append(found)
            continue
        count = part.stop - part.start - len(found)  # used rows
        stream.samples += count
        told.append(Stepped(outputs[part], found, far[part], texts[at : at + count]))
        at += count
    return told
