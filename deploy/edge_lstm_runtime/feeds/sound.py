"""Sound: wav files, raw 16-bit PCM from a pipe, and the answers of a model to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..inputs import Float64, sound_of
from ..inputs.frames import Sound
from ..session import Session
from . import wav
from .lines import Scores, answer_of

Int16 = NDArray[np.int16]
CHUNK = 8192  # bytes, the most that one read of a pipe returns


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


def wav_chunks(file: IO[bytes], name: str, sample_rate: int) -> Iterator[Int16]:
    """The samples of an open wav file, in pieces of (samples,) int16.

    name: for the messages. Raises DataError as `read_wav` does, before the first piece. A file in a
    pipe may end before its header says so: a recorder doesn't know the length beforehand.
    """
    yield from raw_chunks(file, wav.to_samples(file, name, sample_rate))


def read_any_wav(path: Path) -> tuple[Int16, int]:
    """As `read_wav`, of any rate: the samples and the rate, in Hz."""
    try:
        with path.open("rb") as file:
            rate = wav.rate_of(file, str(path))
    except OSError as e:
        raise DataError(f"{path}: can't be read: {e.strerror or e}; expected a wav file") from e
    return read_wav(path, rate), rate


def raw_chunks(file: IO[bytes], size: int | None = None) -> Iterator[Int16]:
    """16-bit little-endian PCM as it arrives, in pieces of (samples,) int16.

    size: the most bytes to read, None for all. Half a sample at the end is dropped.
    """
    # read1 returns the bytes that are there now. A pipe's reader must not wait for a whole chunk.
    read = getattr(file, "read1", None) or file.read

    def chunks() -> Iterator[bytes]:
        left = size
        while chunk := read(CHUNK if left is None else min(CHUNK, left)):
            if left is not None:
                left -= len(chunk)
            yield chunk

    return samples_of(chunks())


def samples_of(chunks: Iterable[bytes]) -> Iterator[Int16]:
    """The samples of PCM as `raw_chunks` returns them. b"" says that another stream follows."""
    rest = b""
    for chunk in chunks:
        data = rest + chunk if chunk else b""
        whole = len(data) // 2 * 2
        rest = data[whole:]
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
    # Not the session's own stream: its reset would lose the samples that the next frame needs.
    sound = sound_of(session.spec.inputs)
    stream = sound.stream()
    answering = (_Whole if session.spec.whole else _Stepwise)(session, sound, every)
    number = 0
    samples = 0
    for chunk in chunks:
        samples += len(chunk)
        for x in stream.push(chunk):
            if reset_every and number and number % reset_every == 0:
                yield from answering.reset()
                session.reset()
            number += 1
            yield from answering.frame(number, x)
    yield from answering.end()
    if not number:
        raise too_short(sound, samples)


def too_short(sound: Sound, samples: int) -> DataError:
    frame = f"{sound.frame_length} samples"
    return DataError(f"the sound has {samples} samples; expected a frame or more ({frame})")


def seconds_at(sound: Sound, number: int) -> float:
    """The end of a frame, from the start of the sound. number: counts from 1."""
    samples = (number - 1) * sound.hop_length + sound.frame_length
    return round(samples / sound.sample_rate, 6)


class _Answering(ABC):
    """Makes answers of frames. Each method returns the objects that can be given out now."""

    def __init__(self, session: Session, sound: Sound, every: int):
        self._session = session
        self._sound = sound
        self._every = every

    @abstractmethod
    def frame(self, number: int, x: Float64) -> list[dict[str, Any]]:
        """x: (C,)"""

    @abstractmethod
    def reset(self) -> list[dict[str, Any]]:
        """The next frame starts from the zero state."""

    @abstractmethod
    def end(self) -> list[dict[str, Any]]:
        """No frame is left."""

    def _told(self, number: int, outputs: NDArray[Any]) -> dict[str, Any]:
        answer = answer_of(self._session, outputs, f"frame {number}")
        return {"frame": number, "time": seconds_at(self._sound, number), **answer}


class _Stepwise(_Answering):
    """Each frame is answered at once. The answer that `every` passes over may be the last one."""

    def __init__(self, session: Session, sound: Sound, every: int):
        super().__init__(session, sound, every)
        self._scores = Scores(session.spec)
        self._last: list[dict[str, Any]] = []

    def frame(self, number: int, x: Float64) -> list[dict[str, Any]]:
        outputs = self._session.step(x)
        told = [self._told(number, outputs) | self._scores.of(x, outputs)]
        due = number % self._every == 0
        self._last = [] if due else told
        return told if due else []

    def reset(self) -> list[dict[str, Any]]:
        self._scores.reset()
        return []

    def end(self) -> list[dict[str, Any]]:
        return self._last


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
            self._told(n, y)
            for n, y in zip(self._held, outputs, strict=True)
            if n % self._every == 0 or n == last
        ]
        self._held = {}
        return told
