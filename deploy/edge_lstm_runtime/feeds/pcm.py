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
from .sound import Int16, answers, seconds_at, too_short


def texts(
    session: Session, chunks: Iterable[Int16], *, every: int = 1, reset_every: int = 0
) -> Iterator[str]:
    """The same lines as those of `sound.answers`, in pieces, of which plain frames are answered
    together.

    The frames of a detector, of a bidirectional model, or with resets after so many of them are no
    plain ones.
    """
    if session.spec.whole or session.spec.detector or reset_every:
        for answer in answers(session, chunks, every=every, reset_every=reset_every):
            yield json.dumps(answer, allow_nan=False) + "\n"
        return
    number = 0
    last = ""
    for outputs in _outputs(session, chunks, session.steps, 0):
        first = number + 1
        number += len(outputs)
        start = -first % every
        places = [*range(start, len(outputs), every)]
        if not places or places[-1] < len(outputs) - 1:
            places.append(len(outputs) - 1)
        told = _told(session, first, outputs, places)
        last = told.pop() if number % every else ""
        yield "".join(told)
    yield last


def _told(session: Session, first: int, outputs: NDArray[Any], places: list[int]) -> list[str]:
    """first: the number of the frame that outputs[0] answers. places: of those to tell."""
    sound = sound_of(session.spec.inputs)
    found = session.spec.answer.texts(outputs[places])
    heads = [(first + k, seconds_at(sound, first + k)) for k in places]
    return [
        f'{{"frame": {n}, "time": {seconds}, {text}}}\n'
        for (n, seconds), text in zip(heads, found, strict=True)
    ]


def _outputs(
    session: Session,
    chunks: Iterable[Int16],
    answered: Callable[[Float64], NDArray[Any]],
    reset_every: int,
) -> Iterator[NDArray[Any]]:
    """(n, O) for the next n frames, all finite.

    answered: frames (m, F) -> (n, O), for the first n of them. Raises DataError if the sound is
    shorter than a frame, and BackendError.
    """
    # Not the session's own stream: its reset would lose the samples that the next frame needs.
    sound = sound_of(session.spec.inputs)
    stream = sound.stream()
    number = 0
    samples = 0
    for chunk in chunks:
        samples += len(chunk)
        frames = stream.push(chunk)
        while len(frames):
            left = len(frames)
            if reset_every:
                if number and number % reset_every == 0:
                    session.reset()
                left = reset_every - number % reset_every
            outputs = answered(frames[:left])
            if not len(outputs):
                outputs = session.step(frames[0])[None]  # raises what stands in the way
            finite = np.isfinite(outputs).all(axis=1)
            good = len(outputs) if finite.all() else int(finite.argmin())
            if good:
                yield outputs[:good]
            number += good
            if good < len(outputs):
                answer_of(session, outputs[good], f"frame {number + 1}")  # raises
            frames = frames[good:]
    if not number:
        raise too_short(sound, samples)


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
        for outputs in _outputs(
            self._session, self._filled(chunks), self._session.run, reset_every
        ):
            yield self._piece(self._added(outputs))
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
