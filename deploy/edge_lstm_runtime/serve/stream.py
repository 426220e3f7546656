"""One stream of samples: its session, and the answers to its messages.

Reading a message and telling its answer needs the model's answers to some rows in between. So
`Stream.answering` is a generator, which yields rows and is sent what became of them. `together.py`
runs those of several streams side by side, and computes once for all of them what it can.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Generator, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import stored
from ..detector import AnomalyDetector
from ..errors import BackendError, SampleError
from ..feeds.lines import OUT_OF_RANGE
from ..feeds.reader import Sample
from ..inputs.times import Clock
from ..session import Session
from ..tasks import json_of
from . import payload
from .payload import Request

T = TypeVar("T")
SAMPLE = "sample"  # the reasons of a refusal
MESSAGE = "message"
BACKEND = "backend"


Errors = dict[int, tuple[str, str]]  # row -> the reason of its refusal, and a sentence


@dataclasses.dataclass
class Stepped:
    """What became of rows.

    outputs (n, O): NaN for a refused one. far (n, C): whether a value is out of range. texts: the
    answers of the used rows in JSON, without the braces, or none for a binary message.
    """

    outputs: NDArray[Any]
    errors: Errors
    far: NDArray[np.bool_]
    texts: list[str]


Answering = Generator[NDArray[np.float64], Stepped, T]


@dataclasses.dataclass
class Work:
    """What became of messages that were answered together.

    answers: one for each message. xs (n, C) and outputs (n, O): of the samples that were used.
    far (n, C): whether a value is out of range. scores: (n,), empty without a detector. refused:
    the reason of each refusal. marks: the number of used samples behind each message.
    """

    answers: list[bytes]
    xs: NDArray[np.float64]
    outputs: NDArray[Any]
    far: NDArray[np.bool_]
    scores: list[float]
    refused: list[str]


def joined(works: Sequence[Work]) -> Work:
    """The works of several streams as one, in their order."""
    if len(works) == 1:
        return works[0]
    return Work(
        [answer for work in works for answer in work.answers],
        np.concatenate([work.xs for work in works]),
        np.concatenate([work.outputs for work in works]),
        np.concatenate([work.far for work in works]),
        [score for work in works for score in work.scores],
        [reason for work in works for reason in work.refused],
    )


class Stream:
    """samples: how many were used since the stream began."""

    def __init__(self, name: str, session: Session):
        self.name = name
        self.session = session
        self.samples = 0
        self.clock = Clock()
        spec = session.spec
        self._inputs = spec.inputs
        self._place = spec.inputs.names.index(spec.inputs.elapsed) if spec.inputs.elapsed else -1
        self._detector = AnomalyDetector(spec) if spec.detector else None

    def answering(self, payloads: Sequence[bytes], form: str) -> Answering[Work]:
        """Answer messages in their order. Messages of plain numbers take their steps together."""
        work = Work([], *self._nothing(), [], [])
        parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        joined: list[Request] = []
        for message in payloads:
            try:
                request = payload.read(message, form, self._inputs)
            except SampleError as e:
                yield from self._answer_plain(joined, form, work, parts)
                joined = []
                work.refused.append(MESSAGE)
                work.answers.append(payload.error(self._echo_of(message, form), str(e)))
                continue
            if isinstance(request.rows, np.ndarray):
                joined.append(request)
                continue
            yield from self._answer_plain(joined, form, work, parts)
            joined = []
            yield from self._answer_one_by_one(request, work, parts)
        yield from self._answer_plain(joined, form, work, parts)
        if parts:
            xs, outputs, far = zip(*parts, strict=True)
            work.xs = np.concatenate(xs)
            work.outputs = np.concatenate(outputs)
            work.far = np.concatenate(far)
        return work

    def _echo_of(self, message: bytes, form: str) -> str:
        """The "id" and "ts" of a message that can't be used, if they can be read."""
        if form != "json":
            return ""
        try:
            value = json.loads(message)
            return payload.echoed(value, self._inputs) if isinstance(value, dict) else ""
        except (ValueError, RecursionError, SampleError):
            return ""

    def _nothing(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        c = self._inputs.size
        return (
            np.empty((0, c)),
            np.empty((0, self.session.spec.answer.size)),
            np.empty((0, c), bool),
        )

    def _answer_plain(
        self, requests: list[Request], form: str, work: Work, parts: list[Any]
    ) -> Answering[None]:
        """requests: whose rows are arrays."""
        if not requests:
            return
        xs = np.concatenate([request.rows for request in requests])
        stepped = yield xs
        errors = stepped.errors
        outputs = stepped.outputs
        work.refused += [reason for reason, _ in errors.values()]
        used = np.ones(len(xs), bool)
        used[list(errors)] = False
        parts.append((xs[used], outputs[used], stepped.far[used]))
        marks = self._scored(xs[used], outputs[used], work.scores)
        texts = self._texts(stepped, marks) if form == "json" else []
        at = 0
        for request in requests:
            end = at + len(request.rows)
            if form == "json":
                work.answers.append(payload.told(request, texts[at:end]))
            else:
                work.answers.append(outputs[at:end].astype("<f4").tobytes())
            at = end

    def steps(self, xs: NDArray[np.float64], outputs: NDArray[Any]) -> Errors:
        """Take the steps of rows. outputs (n, O): is filled, with NaN for a refused row."""
        errors: Errors = {}
        at = 0
        while at < len(xs):
            found = self.session.steps(xs[at:])
            outputs[at : at + len(found)] = found
            at += len(found)
            if at == len(xs):
                break
            try:
                outputs[at] = self.session.step(xs[at])
            except (SampleError, BackendError) as e:
                outputs[at] = np.nan
                errors[at] = (SAMPLE if isinstance(e, SampleError) else BACKEND, str(e))
            at += 1
        return errors

    def refuse(self, rows: Iterable[int], errors: Errors) -> None:
        """After `steps`: rows whose answers are not finite. errors: gets them too."""
        for row in rows:
            if row not in errors:
                self.reset()
                errors[row] = BACKEND, "the backend's answer is not finite; the state is reset"

    def _texts(self, stepped: Stepped, marks: list[str]) -> list[str]:
        """The members of each sample's answer, in JSON. marks: the detector's, of used rows."""
        errors = stepped.errors
        far = stepped.far
        told = iter(map("".join, zip(stepped.texts, marks, strict=True)))
        texts = [
            f'"error": {json_of(errors[row][1])}' if row in errors else next(told)
            for row in range(len(far))
        ]
        for row in np.flatnonzero(far.any(axis=1)):
            if int(row) not in errors:
                names = [self._inputs.names[k] for k in np.flatnonzero(far[row])]
                texts[row] += f', "{OUT_OF_RANGE}": {json_of(names)}'
        return texts

    def _scored(
        self, xs: NDArray[np.float64], outputs: NDArray[Any], scores: list[float]
    ) -> list[str]:
        """The detector's members of each answer, in JSON, "" without one."""
        if self._detector is None:
            return [""] * len(xs)
        texts = []
        for x, y in zip(xs, outputs, strict=True):
            score, found = self._detector(x, y)
            scores.append(score)
            told = "null" if np.isnan(score) else json_of(score)
            texts.append(f', "score": {told}, "anomaly": {json_of(found)}')
        return texts

    def _answer_one_by_one(self, request: Request, work: Work, parts: list[Any]) -> Answering[None]:
        """request: whose samples need a look at each: objects, missing values, times, a reset."""
        if request.reset:
            self.reset()
            work.answers.append(payload.told(request, ['"reset": true']))
            return
        texts = []
        for value in request.rows:
            echo = ""
            error = None
            try:
                if request.many and isinstance(value, dict):
                    echo = payload.echoed(value, self._inputs)
                sample = payload.one(value, self._inputs)
                x = np.array([self._values(sample)])
            except SampleError as e:
                error = SAMPLE, str(e)
            else:
                stepped = yield x
                error = stepped.errors.get(0)
            if error:
                work.refused.append(error[0])
                texts.append(f'{echo}"error": {json_of(error[1])}')
                continue
            if sample.timed:
                self.clock.take(sample.numbers[self._place])
            parts.append((x, stepped.outputs, stepped.far))
            marks = self._scored(x, stepped.outputs, work.scores)
            texts.append(echo + self._texts(stepped, marks)[0])
        work.answers.append(payload.told(request, texts))

    def _values(self, sample: Sample) -> list[float]:
        """One for each channel. A time becomes the seconds since the last sample."""
        if not sample.timed:
            return sample.numbers
        since = self.clock.since
        return [since(x) if k == self._place else x for k, x in enumerate(sample.numbers)]

    def reset(self) -> None:
        self.session.reset()
        self.clock.reset()
        if self._detector is not None:
            self._detector.reset()

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """Copies: of the session, of the detector, "clock" (1,) and "samples" (1,).

        Assigning restores all. Raises BackendError for a state that doesn't fit.
        """
        found = stored.state_of(self.session, self._detector, self.clock)
        return {**found, "samples": np.array([self.samples], np.int64)}

    @state.setter
    def state(self, value: dict[str, NDArray[Any]]) -> None:
        try:
            samples = int(value["samples"][0])
        except (KeyError, IndexError, TypeError, ValueError) as e:
            raise BackendError(f"the state lacks its count: {e!r}") from e
        stored.set_state(value, self.session, self._detector, self.clock)
        self.samples = samples
