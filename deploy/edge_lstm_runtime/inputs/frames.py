"""PCM in pieces of any length, cut into frames. Each frame is one sample of a model.

Frame t is the samples t * hop_length to t * hop_length + frame_length - 1. Nothing is padded and no
frame is centered, so a frame is complete with its last sample.
"""

from __future__ import annotations

import dataclasses
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BundleError, SampleError

Float64 = NDArray[np.float64]
MAX_RATE = 1_000_000  # Hz
MAX_FRAME = 65536  # samples
FULL_SCALE = 32768.0  # of 16 bits
# Resampled full scale stays below this. Numbers that were never divided by 32768 don't.
LOUDEST = 4.0


class Sound(ABC):
    """The way from mono PCM to a model's channels.

    sample_rate   Hz
    frame_length  samples of a frame
    hop_length    samples from the start of a frame to that of the next, at most frame_length
    """

    sample_rate: int
    frame_length: int
    hop_length: int

    @property
    @abstractmethod
    def size(self) -> int:
        """C, the number of channels."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What becomes of a frame, in words."""

    @abstractmethod
    def stream(self) -> SoundStream:
        """A new one, for one stream of sound."""

    @property
    def frame_rate(self) -> float:
        """Frames a second, and so samples of the model a second."""
        return self.sample_rate / self.hop_length

    def frames(self, pcm: ArrayLike) -> Float64:
        """pcm: (samples,) int16 or floats in -1 to 1, a whole recording -> (n, C) its frames.

        Samples at the end that fill no frame are dropped. Raises SampleError for other numbers.
        """
        return self.stream().push(pcm)


class SoundStream(ABC):
    """PCM in pieces of any length in, frames out.

    pending: (samples,) float64 in -1 to 1, shorter than a frame: the samples with which the next
    frame begins. Assigning restores it, and raises SampleError for samples that can't be pending.
    """

    def __init__(self, sound: Sound):
        self._sound = sound
        self.reset()

    def reset(self) -> None:
        """Forget the pending samples, as at the start of a recording."""
        self._pending: Float64 = np.empty(0)

    @property
    def pending(self) -> Float64:
        """(samples,) float64 in -1 to 1: a copy of the samples that no frame has used up."""
        return self._pending.copy()

    @pending.setter
    def pending(self, value: ArrayLike) -> None:
        samples = as_pcm(value)
        length = self._sound.frame_length
        if len(samples) >= length:
            raise SampleError(
                f"{len(samples)} pending samples, expected fewer than a frame has ({length})"
            )
        self._pending = samples.copy()

    def push(self, pcm: ArrayLike) -> Float64:
        """pcm: (samples,) int16 or floats in -1 to 1 -> (n, C) the frames that are now complete.

        n may be 0. The frames don't depend on how the sound is cut into pieces. Raises SampleError
        for other numbers and for NaN. The pending samples are then unchanged.
        """
        length = self._sound.frame_length
        hop = self._sound.hop_length
        samples = np.concatenate([self._pending, as_pcm(pcm)])
        count = max(0, 1 + (len(samples) - length) // hop)
        if count:
            frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
        else:
            frames = np.empty((0, length))
        made = self._channels(frames)
        self._pending = samples[count * hop :]
        return made

    @abstractmethod
    def _channels(self, frames: Float64) -> Float64:
        """frames: (n, frame_length), a view -> (n, C), a new array."""


@dataclasses.dataclass(frozen=True)
class Frames(Sound):
    """Frames of PCM as they are, in -1 to 1: the channels are the samples of a frame.

    Raises BundleError for a value that is out of bounds.
    """

    sample_rate: int
    frame_length: int
    hop_length: int

    def __post_init__(self) -> None:
        limits = {"sample_rate": MAX_RATE, "frame_length": MAX_FRAME}
        for name in ("sample_rate", "frame_length", "hop_length"):
            value = getattr(self, name)
            most = limits.get(name, self.frame_length)
            if type(value) is not int or not 1 <= value <= most:
                raise BundleError(
                    f"frames: {name} is {value!r}, expected a whole number from 1 to {most}"
                )

    @property
    def size(self) -> int:
        return self.frame_length

    @property
    def words(self) -> str:
        return "PCM in -1 to 1"

    def stream(self) -> FrameStream:
        return FrameStream(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Frames:
        """The inverse of `dataclasses.asdict`. Raises BundleError."""
        try:
            return cls(**values)
        except TypeError as e:
            raise BundleError(f"frames are malformed: {e}") from e


class FrameStream(SoundStream):
    """The frames of `Frames`."""

    def _channels(self, frames: Float64) -> Float64:
        return frames.copy()


def as_pcm(pcm: ArrayLike) -> Float64:
    """(samples,) int16, or floats in -1 to 1 -> (samples,) float64 in -1 to 1.

    Floats up to LOUDEST pass as they are. Raises SampleError for anything else.
    """
    try:
        array = np.asarray(pcm)
    except (TypeError, ValueError) as e:
        raise SampleError(
            f"PCM {reprlib.repr(pcm)} is no list of numbers; "
            "expected (samples,) of int16, or of floats in -1 to 1"
        ) from e
    if array.ndim != 1 or not (array.dtype == np.int16 or array.dtype.kind == "f"):
        raise SampleError(
            f"PCM is {array.dtype}{array.shape}; "
            "expected (samples,) of int16, or of floats in -1 to 1"
        )
    if array.dtype == np.int16:
        return array / FULL_SCALE
    samples = array.astype(np.float64)
    if not (within := np.abs(samples) <= LOUDEST).all():  # false for NaN too
        k = int(np.argmin(within))
        raise SampleError(f"PCM sample {k} is {samples[k]:g}; expected floats in -1 to 1, or int16")
    return samples
