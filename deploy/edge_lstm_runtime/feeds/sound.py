"""Sound: wav files, raw 16-bit PCM from a pipe, and the answers of a model to it."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DataError
from ..inputs.front_end import FrontEndStream
from ..session import Session
from .lines import answer_of

Int16 = NDArray[np.int16]
CHUNK = 8192  # bytes, the most that one read of a pipe returns
WAV_CHUNK = 512  # samples; a wav file in a pipe waits for so many


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
    file: IO[bytes], name: str, sample_rate: int, *, complete: bool = True
) -> Iterator[Int16]:
    """The samples of an open wav file, in pieces of (samples,) int16.

    name: for the messages. Raises DataError as `read_wav` does. With complete=False a file may end
    before its header says so: a recorder in a pipe doesn't know the length beforehand.
    """
    advice = f"convert it: ffmpeg -i {name} -ac 1 -ar {sample_rate} -c:a pcm_s16le new.wav"
    taken = 0
    try:
        with wave.open(file, "rb") as wav:
            if wav.getframerate() != sample_rate:
                raise DataError(
                    f"{name}: the sample rate is {wav.getframerate()} Hz, "
                    f"and the model's {sample_rate} Hz; {advice}"
                )
            if wav.getnchannels() != 1:
                raise DataError(
                    f"{name}: has {wav.getnchannels()} channels, expected one (mono); {advice}"
                )
            if wav.getsampwidth() != 2:
                raise DataError(
                    f"{name}: has {8 * wav.getsampwidth()} bits a sample, expected 16; {advice}"
                )
            expected = wav.getnframes()
            while data := wav.readframes(WAV_CHUNK):
                samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)
                taken += len(samples)
                yield samples
    except (wave.Error, EOFError) as e:
        raise DataError(
            f"{name}: can't be read as a wav file of 16-bit PCM: "
            f"{e or 'it ends too early'}; {advice}"
        ) from e
    if complete and taken < expected:
        raise DataError(
            f"{name}: is cut off: its header says {expected} samples, and there are {taken}; "
            "get the whole file"
        )


def raw_chunks(file: IO[bytes]) -> Iterator[Int16]:
    """16-bit little-endian PCM as it arrives, in pieces of (samples,) int16.

    Half a sample at the end is dropped.
    """
    # read1 returns the bytes that are there now. A pipe's reader must not wait for a whole chunk.
    read = getattr(file, "read1", None) or file.read
    rest = b""
    while data := read(CHUNK):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").astype(np.int16)


def answers(
    session: Session, chunks: Iterable[Int16], *, every: int = 1, reset_every: int = 0
) -> Iterator[dict[str, Any]]:
    """{"frame": n, "time": seconds, ...answer} for every `every`th frame and for the last one.

    chunks: PCM, (samples,) each. n: counts from 1. time: the end of the frame, in seconds from the
    start. reset_every: frames after which the state is set to zero, 0 for never.
    A bidirectional model answers at the end of the sound, or after `reset_every` frames.
    Raises ConfigError if the model has no front end, and BackendError if the backend fails.
    """
    front_end = session.spec.inputs.sound
    if front_end is None:
        raise ConfigError(
            f"this model takes no sound: it was trained without [front_end], "
            f"on {', '.join(session.spec.inputs.names)}"
        )
    stream = FrontEndStream(front_end)
    whole = session.spec.whole
    held: list[NDArray[Any]] = []
    last: dict[str, Any] | None = None
    number = 0

    def found(outputs: NDArray[Any], n: int) -> dict[str, Any]:
        seconds = ((n - 1) * front_end.hop_length + front_end.frame_length) / front_end.sample_rate
        return {"frame": n, "time": round(seconds, 6), **answer_of(session, outputs, f"frame {n}")}

    def of_held() -> Iterator[dict[str, Any]]:
        for n, outputs in enumerate(
            session.run(np.array(held)) if held else (), start=number - len(held) + 1
        ):
            if n % every == 0 or n == number:
                yield found(outputs, n)
        held.clear()

    for chunk in chunks:
        for frame in stream.push(chunk):
            if reset_every and number and number % reset_every == 0:
                yield from of_held()
                session.reset()
            number += 1
            if whole:
                held.append(frame)
                continue
            outputs = session.step(frame)
            last = None if number % every == 0 else found(outputs, number)
            if last is None:
                yield found(outputs, number)
    yield from of_held()
    if last is not None:
        yield last
