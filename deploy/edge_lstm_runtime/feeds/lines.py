"""Samples as lines of text: CSV or JSON lines in, one JSON line out for each, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import stored
from ..detector import AnomalyDetector
from ..errors import BackendError, ConfigError, SampleError
from ..inputs import Inputs
from ..inputs.text import TextForm
from ..model.spec import ModelSpec, describe
from ..session import Session
from .reader import RESET, Reader, Sample
from .stream import Line

OUT_OF_RANGE = "out_of_range"
LINES = "lines"  # the kind of a state
Head = dict[str, Any]


def answers(
    session: Session,
    lines: Iterable[Line],
    reset_every: int = 0,
    *,
    every: int = 1,
    form: TextForm | None = None,
    skip_rows: int = 0,
) -> Iterator[dict[str, Any]]:
    """One object for every line: {"line": n, ...answer} or {"line": n, "error": "..."}.

    A line of text has exactly one number for each channel, in raw units, written as the inputs'
    `text` says (commas between them, unless the training file was another). If a header has named
    the channels, other columns are ignored.
    A line of JSON is a list of numbers in channel order, or an object with the channels' names.
    null is a missing value. The line {"reset": true} sets the state to zero. An object's "id" and
    "ts" stand in its answer, behind the number of the line, unless a channel has that name.
    A line that can't be used leaves the state as it was, and the stream goes on.

    For a language model, a line is one character: its index or, in JSON, the character itself, such
    as ["t"] or {"character": "t"}.
    An answer has "out_of_range" with the names of channels whose value is far outside of the
    training's range, see `inputs/ranges.py`. It is there only if there is one.
    If the model has a channel `dt`, a header or an object may have the column of times in its
    place. Times are datetimes or numbers of seconds. So are those of a calendar's channel, whose
    seconds are since 1970, UTC. One column serves for both.

    A header may come after any number of lines that can't be used. Up to the first sample, a line
    is one if it names a channel or the time's column. Later, it must name all channels: a board
    that starts again sends its header again. If its columns are others than before, an error line
    says so. Any other line, even the first, is a sample or gets an error line.

    A bidirectional model answers whole sequences. A reset or the end of the lines ends a sequence,
    and its lines are held until then.

    reset_every: samples after which the state is set to zero, 0 for never.
    every: the samples to answer are each `every`th one, and the last one before a reset or the end.
    form: of the lines; the inputs' own if left out. skip_rows: lines before the header.
    Raises ConfigError if the header lacks a channel or has one twice, and BackendError if the
    backend fails.
    """
    feed = Lines(session, reset_every, every=every, form=form, skip_rows=skip_rows)
    for line in lines:
        yield from feed.line(line)
    yield from feed.end()


class Lines:
    """A stream of lines. The arguments are those of `answers`, which says what a line may be.

    number: of the latest line. errors: the lines so far that couldn't be used. odd_step: the first
    line whose time since the sample before was out of range, 0 if there was none.
    """

    def __init__(
        self,
        session: Session,
        reset_every: int = 0,
        *,
        every: int = 1,
        form: TextForm | None = None,
        skip_rows: int = 0,
    ):
        self.number = 0
        self.errors = 0
        self.odd_step = 0
        self.session = session
        self.reader = Reader(session.spec.inputs, form)
        self.answering: _Answering = Whole(session) if session.spec.whole else Stepwise(session)
        self.reset_every = reset_every
        self.every = every
        self._skipped = skip_rows  # the number of the last one that is
        self.samples = 0
        self._since_reset = 0  # samples

    def line(self, line: Line) -> Iterator[dict[str, Any]]:
        """The answers that can be given out after one more line."""
        self.number += 1
        if self.number <= self._skipped:
            return
        try:
            found = self.reader.read(line)
            if found is None:
                return
            if found == RESET or (self.reset_every and self._since_reset == self.reset_every):
                yield from self._reset()
            if isinstance(found, str):
                yield {**self._head, RESET: True}
                return
            due = (self.samples + 1) % self.every == 0
            answered = self.answering.sample(self._head, self.reader.values(found), due=due)
        except SampleError as e:
            self.errors += 1
            yield from self.answering.error(self._head, e)
            return
        self.reader.taken(found)
        self.samples += 1
        self._since_reset += 1
        elapsed = self.session.spec.inputs.elapsed
        if not self.odd_step and any(elapsed in a.get(OUT_OF_RANGE, ()) for a in answered):
            self.odd_step = self.number
        yield from answered

    @property
    def _head(self) -> dict[str, Any]:
        """With what the answer to the latest line begins."""
        return {"line": self.number, **self.reader.echo}

    def end(self) -> Iterator[dict[str, Any]]:
        """The answers that were held back. No line is left."""
        yield from self.answering.end()

    @property
    def state(self) -> stored.State:
        """All that the answers to the lines to come depend on, copies. Not of whole sequences.

        Assigning restores it. Raises BackendError for a state that doesn't fit.
        """
        facts = {
            "kind": LINES,
            "number": self.number,
            "samples": self.samples,
            "since reset": self._since_reset,
            "held": self.answering.held,
            "header": self.reader.header,
        }
        state = stored.state_of(self.session, self.answering.detector, self.reader.clock)
        return {**state, stored.FACTS: stored.told(facts)}

    @state.setter
    def state(self, value: stored.State) -> None:
        try:
            facts = stored.facts_of(value, LINES)
            self.reader.header = facts["header"]
            number = int(facts["number"])
            self.samples = int(facts["samples"])
            self._since_reset = int(facts["since reset"])
            self.answering.held = list(facts["held"])
        except (KeyError, TypeError, ValueError, ConfigError) as e:
            raise BackendError(f"the state does not fit: {e!r}") from e
        stored.set_state(value, self.session, self.answering.detector, self.reader.clock)
        self._skipped += number - self.number
        self.number = number

    def _reset(self) -> Iterator[dict[str, Any]]:
        yield from self.answering.end()
        self.session.reset()
        self.reader.clock.reset()
        self._since_reset = 0


def recordings(
    inputs: Inputs, lines: Iterable[Line], skip_rows: int = 0
) -> list[NDArray[np.float64]]:
    """All samples, (T, C) in raw units for each recording. A line {"reset": true} ends one.

    skip_rows: lines before the header.
    Raises SampleError for a line that can't be used, with its number, and if there is no sample.
    """
    reader = Reader(inputs)
    preprocessor = inputs.preprocessor(np.float32, None, keep_last=False)
    found: list[list[list[float]]] = [[]]
    for number, text in enumerate(lines, start=1):
        if number <= skip_rows:
            continue
        try:
            sample = reader.read(text)
            if sample == RESET:
                found.append([])
                preprocessor.reset()
                reader.clock.reset()
            elif isinstance(sample, Sample):
                values = reader.values(sample)
                preprocessor(values)
                reader.taken(sample)
                found[-1].append(values)
        except SampleError as e:
            raise SampleError(f"line {number}: {e}") from e
    if not any(found):
        raise SampleError("no line has a sample; expected CSV or JSON lines")
    return [np.array(samples, np.float64) for samples in found if samples]


class _Answering(Protocol):
    """Makes answers of lines. Each method returns the objects that can be given out now.

    head: the first members of the answer, "line" among them. held: answers that are not given out
    yet, without those of a whole sequence.
    """

    detector: AnomalyDetector | None
    held: list[dict[str, Any]]

    def sample(self, head: Head, values: list[float], *, due: bool) -> list[dict[str, Any]]:
        """due: whether it is to be answered if it is not the last one. Raises SampleError."""

    def error(self, head: Head, error: SampleError) -> list[dict[str, Any]]: ...

    def end(self) -> list[dict[str, Any]]:
        """The lines of the sequence that were held back."""


class Stepwise:
    """Each sample is answered at once. An answer that is not due is held: it may be the last."""

    def __init__(self, session: Session):
        self._session = session
        self._scores = Scores(session.spec)
        self.detector = self._scores.detector
        self.held: list[dict[str, Any]] = []

    def sample(self, head: Head, values: list[float], *, due: bool) -> list[dict[str, Any]]:
        outputs = self._session.step(values)
        answer = answer_of_line(self._session, outputs, head)
        answer |= self._scores.of(values, outputs)
        return self.told(answer | out_of_range(self._session.spec, values), due=due)

    def told(self, answer: dict[str, Any], *, due: bool) -> list[dict[str, Any]]:
        self.held = [] if due else [answer]
        return [answer] if due else []

    def error(self, head: Head, error: SampleError) -> list[dict[str, Any]]:
        return [{**head, "error": str(error)}]

    def end(self) -> list[dict[str, Any]]:
        self._scores.reset()
        last = self.held
        self.held = []
        return last


class Whole:
    """Samples are held and answered together at the end of their sequence.

    A line that can't be used is not part of the sequence. Its error line is held too.
    """

    def __init__(self, session: Session):
        self._session = session
        self.detector: AnomalyDetector | None = None
        self.held: list[dict[str, Any]] = []
        self._try = session.spec.inputs.preprocessor(np.float32, None, keep_last=False)
        self._samples: list[tuple[Head, list[float], bool]] = []
        self._errors: dict[int, dict[str, Any]] = {}

    def sample(self, head: Head, values: list[float], *, due: bool) -> list[dict[str, Any]]:
        self._try(values)
        self._samples.append((head, values, due))
        return []

    def error(self, head: Head, error: SampleError) -> list[dict[str, Any]]:
        self._errors[head["line"]] = {**head, "error": str(error)}
        return []

    def end(self) -> list[dict[str, Any]]:
        outputs = self._session.run([values for _, values, _ in self._samples])
        last = self._samples[-1][0] if self._samples else {}
        lines = self._errors | {
            head["line"]: answer_of_line(self._session, y, head)
            | out_of_range(self._session.spec, x)
            for (head, x, due), y in zip(self._samples, outputs, strict=True)
            if due or head is last
        }
        self._samples = []
        self._errors = {}
        return [lines[number] for number in sorted(lines)]


def answer_of_line(session: Session, outputs: NDArray[Any], head: Head) -> dict[str, Any]:
    return {**head, **answer_of(session, outputs, f"line {head['line']}")}


def answer_of(session: Session, outputs: NDArray[Any], place: str) -> dict[str, Any]:
    """`describe` for outputs (O,).

    place: in the input, for the message. Raises BackendError if an output is not finite.
    """
    if not np.isfinite(outputs).all():
        raise BackendError(
            f"backend {session.backend.name!r} answered {place} "
            f"with values that are not finite: {outputs}"
        )
    return describe(session.spec, outputs)


def out_of_range(spec: ModelSpec, x: ArrayLike) -> dict[str, Any]:
    """{OUT_OF_RANGE: names}, {} if no value of the sample x (C,) is far outside."""
    found = spec.inputs.out_of_range(x)
    if not found.any():
        return {}
    return {OUT_OF_RANGE: [spec.inputs.names[k] for k in np.flatnonzero(found)]}


class Scores:
    """The columns that an anomaly detector adds to the answers, none if the model has none."""

    def __init__(self, spec: ModelSpec):
        self.detector = AnomalyDetector(spec) if spec.detector else None

    def of(self, x: ArrayLike, outputs: NDArray[Any]) -> dict[str, Any]:
        """For every sample x (C,) and its answer (O,), in order."""
        if self.detector is None:
            return {}
        score, anomaly = self.detector(x, outputs)
        return {"score": None if np.isnan(score) else score, "anomaly": anomaly}

    def reset(self) -> None:
        if self.detector is not None:
            self.detector.reset()
