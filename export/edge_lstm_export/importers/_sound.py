"""Sound as the samples of a net that reads it as it is: PCM in frames, or sample by sample."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.feeds.sound import read_any_wav
from edge_lstm_runtime.inputs.frames import FULL_SCALE, MAX_FRAME, MAX_RATE, Frames

from . import Float32
from ._samples import MADE, SEED

LEAST = 10  # frames
MOST = 10_000  # frames that a net is proved and measured with


def is_wav(samples: object) -> bool:
    return isinstance(samples, str | Path) and Path(samples).suffix.lower() == ".wav"


@dataclasses.dataclass(frozen=True)
class Heard:
    """What was said about the sound that a net reads.

    rate  Hz, None if the net reads no sound
    hop   samples from the start of a frame to that of the next, None for the frame's length
    pcm   (samples,) int16 of the wav file, None if there is none
    name  of the file
    """

    rate: int | None = None
    hop: int | None = None
    pcm: Any = None
    name: str = ""

    def frames(self, features: int, known: Frames | None = None) -> Frames | None:
        """features: F, the samples of a frame. known: what the file says of them.

        Raises ConversionError.
        """
        if self.rate is None:
            return known
        if known is not None and known.sample_rate != self.rate:
            raise ConversionError(
                f"{self.name or '--rate'}: has {self.rate} Hz, and the net reads sound of "
                f"{known.sample_rate} Hz"
            )
        if features > MAX_FRAME:
            raise ConversionError(f"a frame has {features} samples; expected up to {MAX_FRAME}")
        hop = self.hop or (known.hop_length if known else features)
        if hop > features:
            raise ConversionError(
                f"hop is {hop}; expected 1 to {features}, the samples of a frame: the net has "
                f"{features} inputs"
            )
        return Frames(self.rate, features, hop)

    def samples(self, frames: Frames) -> tuple[Float32, str]:
        """(T, F) the frames to prove and measure the net with, and a note on them.

        Raises ConversionError for a sound of less than LEAST frames, and for silence.
        """
        length, hop = frames.frame_length, frames.hop_length
        if self.pcm is None:
            noise = np.random.default_rng(SEED).uniform(-1, 1, (MADE - 1) * hop + length)
            return frames.frames(noise).astype(np.float32), (
                f"The samples are synthetic: {MADE:,} frames of noise, even in -1 to 1. "
                "All figures are theirs. Give a real sound by --samples"
            )
        count = max(0, 1 + (len(self.pcm) - length) // hop)
        if count < LEAST:
            least = (LEAST - 1) * hop + length
            raise ConversionError(
                f"{self.name}: has {len(self.pcm)} samples, {count} frames; expected {LEAST} "
                f"frames or more, which are {least} samples"
            )
        if not self.pcm.any():
            raise ConversionError(f"{self.name}: is silent, which proves nothing; expected sound")
        if count <= MOST:
            return frames.frames(self.pcm).astype(np.float32), ""
        first = max(range(0, count - MOST + 1, MOST // 2), key=lambda k: self._energy(k, hop))
        unit = "samples" if length == 1 else "frames"
        part = self.pcm[first * hop : (first + MOST - 1) * hop + length]
        begin, end = first * hop / frames.sample_rate, (first + MOST) * hop / frames.sample_rate
        return frames.frames(part).astype(np.float32), (
            f"Of the sound's {count:,} {unit}, {MOST:,} in a row are used, its loudest part, from "
            f"{begin:.2f} to {end:.2f} s. All figures are theirs"
        )

    def _energy(self, first: int, hop: int) -> float:
        """Of MOST frames in a row. A recording may begin with silence."""
        return float(np.square(self.pcm[first * hop :][: MOST * hop] / FULL_SCALE).sum())


NOTHING = Heard()


def heard(samples: object, hop: int | None, rate: int | None) -> Heard:
    """samples: as of `import_net`; a .wav file is read. Raises ConversionError or DataError."""
    for name, value, most in (("hop", hop, MAX_FRAME), ("rate", rate, MAX_RATE)):
        if value is not None and (type(value) is not int or not 1 <= value <= most):
            raise ConversionError(f"{name} is {value!r}; expected a whole number from 1 to {most}")
    if not is_wav(samples):
        if hop is not None and rate is None:
            raise ConversionError(
                f"hop is {hop}, and nothing says that the net reads sound; give samples in a .wav "
                "file, or the rate"
            )
        return Heard(rate, hop)
    path = Path(str(samples))
    pcm, found = read_any_wav(path)
    if rate not in (None, found):
        raise ConversionError(f"{path}: has {found} Hz, and rate is {rate}; leave the rate out")
    if not 1 <= found <= MAX_RATE:
        raise ConversionError(f"{path}: has {found} Hz; expected 1 to {MAX_RATE}")
    if len(pcm) < LEAST:
        raise ConversionError(f"{path}: has {len(pcm)} samples; expected {LEAST} frames or more")
    return Heard(found, hop, pcm, str(path))
