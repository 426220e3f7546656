"""Sound: wav files, raw 16-bit PCM from a pipe, and the answers of a model to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .. import stored
from ..detector import AnomalyDetector
from ..errors import BackendError, DataError, SampleError
from ..inputs import Float64, sound_of
from ..inputs.frames import Sound
from ..inputs.times import Clock
from ..session import Session
from . import wav
from .lines import Scores, answer_of
from .source import Gate

Int16 = NDArray[np.int16]
CHUNK = 8192  # bytes, the most that one read of a pipe returns
FRAMES = "frames of sound"  # the kind of a state


def read_wav(path: Path, sample_rate: int) -> Int16:
    """The samples of a whole wav file, (samples,) int16.

    sample_rate: Hz. Raises DataError unless the file is complete, mono, and 16-bit PCM of this
    rate.
    """
    try:
        with path.open("rb") as file:
            return np.concatenate(
                [np.empty(0, np.int16), *wav_chunks(file, str(path), sample_rate)]
            )
    except OSError as e:
        raise DataError(f"{path}: can't be read: {e.strerror or e}; expected a wav file") from e


def wav_chunks(
    file: IO[bytes], name: str, sample_rate: int, gate: Gate | None = None
) -> Iterator[Int16]:
    """The samples of an open wav file, in pieces of (samples,) int16.

    name: for the messages. Raises DataError as `read_wav` does, before the first piece. A file in a
    pipe may end before its header says so: a recorder doesn't know the length beforehand.
    """
    yield from raw_chunks(file, wav.to_samples(file, name, sample_rate), gate)


def read_any_wav(path: Path) -> tuple[Int16, int]:
    """As `read_wav`, of any rate: the samples and the rate, in Hz."""
    try:
        with path.open("rb") as file:
            rate = wav.rate_of(file, str(path))
    except OSError as e:
        raise DataError(f"{path}: can't be read: {e.strerror or e}; expected a wav file") from e
    return read_wav(path, rate), rate


def raw_chunks(
    file: IO[bytes], size: int | None = None, gate: Gate | None = None
) -> Iterator[Int16]:
    """16-bit little-endian PCM as it arrives, in pieces of (samples,) int16.

    size: the most bytes to read, None for all. Half a sample at the end is dropped.
    gate: for each read.
    """
    asked = gate or Gate()
    # read1 returns the bytes that are there now. A pipe's reader must not wait for a whole chunk.
    read = getattr(file, "read1", None) or file.read

    def chunks() -> Iterator[bytes]:
        left = size
        while chunk := read(asked.size(file, CHUNK if left is None else min(CHUNK, left))):
            if left is not None:
                left -= len(chunk)
            yield chunk

    return samples_of(chunks(), gate)


def samples_of(chunks: Iterable[bytes], gate: Gate | None = None) -> Iterator[Int16]:
    """The samples of PCM as `raw_chunks` returns them. b"" says that another stream follows.

    gate: of the chunks. It is told whether they end within a sample.
    """
    gate = gate or Gate()
    rest = b""
    for chunk in chunks:
        data = rest + chunk if chunk else b""
        whole = len(data) // 2 * 2
        rest = data[whole:]
        gate.part = bool(rest)
        yield np.frombuffer(data[:whole], "<i2").astype(np.int16)


def answers(
    session: Session, chunks: Iterable[Int16], *, every: int = 1, reset_every: int = 0
) -> Iterator[dict[str, Any]]:
    """{"frame": n, "time": seconds, ...answer} for every `every`th frame and for the last one.

    chunks: PCM, (samples,) each. n: counts from 1. time: the end of the frame, in seconds from the
    start. reset_every: frames after which the state is set to zero, 0 for never.
    An anomaly detector adds "score" and "anomaly".
    A bidirectional model answers at the end of the sound, or after `reset_every` frames.
    Raises ConfigError if the model takes no sound, BackendError if the backend fails, and
    DataError if the sound is shorter than a frame.
    """
    feed = Listening(session, every=every, reset_every=reset_every)
    yield from feed.answers(chunks)
    yield from feed.end()


class Listening:
    """A stream of sound. The arguments are those of `answers`.

    number: of the latest frame. samples: so many came.
    """

    def __init__(self, session: Session, *, every: int = 1, reset_every: int = 0):
        self.session = session
        self.sound = sound_of(session.spec.inputs)
        # Not the session's own stream: its reset would lose the samples that the next frame needs.
        self.stream = self.sound.stream()
        self.every = every
        self.reset_every = reset_every
        self.number = 0
        self.samples = 0
        self.answering = (_Whole if session.spec.whole else _Stepwise)(session, self.sound, every)

    def answers(self, chunks: Iterable[Int16]) -> Iterator[dict[str, Any]]:
        """The answers that can be given out before the end."""
        for chunk in chunks:
            self.samples += len(chunk)
            for x in self.stream.push(chunk):
                if self.reset_every and self.number and self.number % self.reset_every == 0:
                    yield from self.answering.reset()
                    self.session.reset()
                self.number += 1
                yield from self.answering.frame(self.number, x)

    def end(self) -> list[dict[str, Any]]:
        """The answers that were held back. Raises DataError if no frame was complete."""
        found = self.answering.end()
        if not self.number:
            raise too_short(self.sound, self.samples)
        return found

    @property
    def state(self) -> stored.State:
        """All that the answers to the sound to come depend on, copies, after a whole chunk.

        Assigning restores it. Raises BackendError for a state that doesn't fit.
        """
        facts = {
            "kind": FRAMES,
            "number": self.number,
            "samples": self.samples,
            "held": self.answering.held,
        }
        state = stored.state_of(self.session, self.answering.detector, Clock())
        return {**state, "pending": self.stream.pending, stored.FACTS: stored.told(facts)}

    @state.setter
    def state(self, value: stored.State) -> None:
        try:
            facts = stored.facts_of(value, FRAMES)
            self.stream.pending = value["pending"]
            self.number = int(facts["number"])
            self.samples = int(facts["samples"])
            self.answering.held = list(facts["held"])
        except (KeyError, TypeError, ValueError, SampleError) as e:
            raise BackendError(f"the state does not fit: {e!r}") from e
        stored.set_state(value, self.session, self.answering.detector, Clock())


def too_short(sound: Sound, samples: int) -> DataError:
    frame = f"{sound.frame_length} samples"
    return DataError(f"the sound has {samples} samples; expected a frame or more ({frame})")


def seconds_at(sound: Sound, number: int) -> float:
    """The end of a frame, from the start of the sound. number: counts from 1."""
    samples = (number - 1) * sound.hop_length + sound.frame_length
    return round(samples / sound.sample_rate, 6)


class _Answering(ABC):
    """Makes answers of frames. Each method returns the objects that can be given out now.

    held: answers that are not given out yet, without those of a whole sequence.
    """

    def __init__(self, session: Session, sound: Sound, every: int):
        self._session = session
        self._sound = sound
        self._every = every
        self.held: list[dict[str, Any]] = []
        self.detector: AnomalyDetector | None = None

    @abstractmethod
    def frame(self, number: int, x: Float64) -> list[dict[str, Any]]:
        """x: (C,)"""

    @abstractmethod
    def reset(self) -> list[dict[str, Any]]:
        """The next frame starts from the zero state."""

    @abstractmethod
    def end(self) -> list[dict[str, Any]]:
        """No frame is left."""

    def told(self, number: int, outputs: NDArray[Any]) -> dict[str, Any]:
        answer = answer_of(self._session, outputs, f"frame {number}")
        return {"frame": number, "time": seconds_at(self._sound, number), **answer}


class _Stepwise(_Answering):
    """Each frame is answered at once. The answer that `every` passes over may be the last one."""

    def __init__(self, session: Session, sound: Sound, every: int):
        super().__init__(session, sound, every)
        self._scores = Scores(session.spec)
        self.detector = self._scores.detector

    def frame(self, number: int, x: Float64) -> list[dict[str, Any]]:
        outputs = self._session.step(x)
        told = [self.told(number, outputs) | self._scores.of(x, outputs)]
        due = number % self._every == 0
        self.held = [] if due else told
        return told if due else []

    def reset(self) -> list[dict[str, Any]]:
        self._scores.reset()
        return []

    def end(self) -> list[dict[str, Any]]:
        return self.held


class _Whole(_Answering):
    """Frames are held and answered together at the end of their sequence."""

    def __init__(self, session: Session, sound: Sound, every: int):
        super().__init__(session, sound, every)
        self._held: dict[int, Float64] = {}

    def frame(self, number: int, x: Float64) -> list[dict[str, Any]]:
        self._held[number] = x
        return []

    def reset(self) -> list[dict[str, Any]]:
        return self.end()

    def end(self) -> list[dict[str, Any]]:
        if not self._held:
            return []
        outputs = self._session.run(np.array(list(self._held.values())))
        last = max(self._held)
        told = [
            self.told(n, y)
            for n, y in zip(self._held, outputs, strict=True)
            if n % self._every == 0 or n == last
        ]
        self._held = {}
        return told
