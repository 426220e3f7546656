"""Frames of sound, answered together: as JSON lines, or as sound."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..inputs import Float64, sound_of
from ..inputs.frames import FULL_SCALE, Frames
from ..model.spec import ModelSpec
from ..session import Session
from .lines import answer_of
from .sound import Int16, Listening, seconds_at


def texts(
    session: Session, chunks: Iterable[Int16], *, every: int = 1, reset_every: int = 0
) -> Iterator[str]:
    """The same lines as those of `sound.answers`, in pieces."""
    return Texts(session, every=every, reset_every=reset_every).texts(chunks)


class Texts(Listening):
    """The same lines as `answers` gives, in pieces, of which plain frames are answered together.

    The frames of a detector, of a bidirectional model, or with resets after so many of them are no
    plain ones.
    """

    def texts(self, chunks: Iterable[Int16], *, goes_on: bool = False) -> Iterator[str]:
        """goes_on: the stream does after these chunks, so that an answer may stay held."""
        spec = self.session.spec
        if spec.whole or spec.detector or self.reset_every:
            yield from map(_line, self.answers(chunks))
        else:
            for outputs in _outputs(self, chunks, self.session.steps):
                yield self._together(outputs)
        if not goes_on:
            yield from map(_line, self.end())

    def _together(self, outputs: NDArray[Any]) -> str:
        """outputs: (n, O) of the latest frames, at least one."""
        first = self.number + 1 - len(outputs)
        start = -first % self.every
        if self.every > 1:
            due = self.number % self.every == 0
            self.answering.held = [] if due else [self.answering.told(self.number, outputs[-1])]
        heads = [
            (n, seconds_at(self.sound, n))
            for n in range(first + start, self.number + 1, self.every)
        ]
        found = self.session.spec.answer.texts(outputs[start :: self.every]) if heads else []
        return "".join(
            f'{{"frame": {n}, "time": {seconds}, {text}}}\n'
            for (n, seconds), text in zip(heads, found, strict=True)
        )


def _line(answer: dict[str, Any]) -> str:
    return json.dumps(answer, allow_nan=False) + "\n"


def _outputs(
    feed: Listening, chunks: Iterable[Int16], answered: Callable[[Float64], NDArray[Any]]
) -> Iterator[NDArray[Any]]:
    """(n, O) for the next n frames, all finite, which are counted.

    answered: frames (m, F) -> (n, O), for the first n of them. Raises BackendError.
    """
    session = feed.session
    for chunk in chunks:
        feed.samples += len(chunk)
        frames = feed.stream.push(chunk)
        while len(frames):
            left = len(frames)
            if every := feed.reset_every:
                if feed.number and feed.number % every == 0:
                    session.reset()
                left = every - feed.number % every
            outputs = answered(frames[:left])
            if not len(outputs):
                outputs = session.step(frames[0])[None]  # raises what stands in the way
            finite = np.isfinite(outputs).all(axis=1)
            good = len(outputs) if finite.all() else int(finite.argmin())
            feed.number += good
            if good:
                yield outputs[:good]
            if good < len(outputs):
                answer_of(session, outputs[good], f"frame {feed.number + 1}")  # raises
            frames = frames[good:]


class Piece(NamedTuple):
    """The next samples of an answer that is sound.

    pcm: (samples,) int16. clipped: so many of them were beyond full scale.
    """

    pcm: Int16
    clipped: int


class Heard:
    """Sound as the answer to sound: as many samples as came in, each at its own place.

    The answers (O,) to frame t are the samples that end with the frame's last one. So with O the
    frame's length they lie on the frame, and the sum of those that overlap is taken. With O the hop
    they are the frame's newest samples. The end of the sound that fills no frame is filled up with
    silence for the net, and no answer lies beyond the last sample.

    Raises ConfigError for a net that doesn't map sound to sound.
    """

    def __init__(self, session: Session):
        self._session = session
        self._sound = mapped(session.spec)
        self._came = 0  # samples
        self._begun: Float64 = np.empty(0)  # samples that later frames may change
        self._gone = 0  # samples

    def pieces(self, chunks: Iterable[Int16], reset_every: int = 0) -> Iterator[Piece]:
        """chunks: PCM, (samples,) each. reset_every: frames, 0 for never.

        Raises DataError if the sound is shorter than a frame, and BackendError.
        """
        feed = Listening(self._session, reset_every=reset_every)
        for outputs in _outputs(feed, self._filled(chunks), self._session.run):
            yield self._piece(self._added(outputs))
        feed.end()
        yield self._piece(self._begun)

    def _filled(self, chunks: Iterable[Int16]) -> Iterator[Int16]:
        """The chunks, and as much silence as fills the last frame."""
        length, hop = self._sound.frame_length, self._sound.hop_length
        for chunk in chunks:
            self._came += len(chunk)
            yield chunk
        beyond = (self._came - length) % hop
        if self._came >= length and beyond:
            yield np.zeros(hop - beyond, np.int16)

    def _added(self, outputs: NDArray[Any]) -> Float64:
        """outputs: (n, O) of the next n frames. Returns the samples that no later frame changes."""
        count, size = outputs.shape
        hop = self._sound.hop_length
        lead = self._sound.frame_length - size  # before the answers' first sample
        whole = np.zeros(lead + (count - 1) * hop + size)
        whole[: len(self._begun)] = self._begun
        if size == hop:
            whole[lead:] += outputs.ravel()
        else:
            for k, values in enumerate(outputs):
                whole[lead + k * hop :][:size] += values
        self._begun = whole[count * hop :]
        return whole[: count * hop]

    def _piece(self, samples: Float64) -> Piece:
        samples = samples[: max(0, self._came - self._gone)]
        self._gone += len(samples)
        scaled = np.rint(samples * FULL_SCALE)
        least, most = -FULL_SCALE, FULL_SCALE - 1
        clipped = int(np.count_nonzero((scaled < least) | (scaled > most)))
        return Piece(np.clip(scaled, least, most).astype(np.int16), clipped)


def mapped(spec: ModelSpec) -> Frames:
    """How a net that maps sound to sound takes it. Raises ConfigError for any other net."""
    sound = sound_of(spec.inputs)
    if not isinstance(sound, Frames):
        raise ConfigError(
            f"--output is for nets that map sound to sound, and this one reads {sound.words} of it"
        )
    if spec.whole:
        raise ConfigError("--output is for nets that answer frame by frame; this one is both ways")
    length, hop = sound.frame_length, sound.hop_length
    if spec.answer.size not in (length, hop):
        frame = f"frames of {length} with a hop of {hop}"
        raise ConfigError(
            f"--output is for nets that map sound to sound, and this one reads {frame}, and "
            f"answers {spec.answer.size} values a frame; expected {length} or {hop}"
        )
    return sound
