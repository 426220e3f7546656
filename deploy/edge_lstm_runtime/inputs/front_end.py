"""From PCM samples to a model's channels: log mel energies or cepstral coefficients.

Training and board run the same code. Frame t is the samples t * hop_length to
t * hop_length + frame_length - 1. Nothing is padded and no frame is centred, so a frame is complete
with its last sample. For each frame

    power      |FFT(w * x, n_fft)|^2, bins 0 to n_fft / 2, with the periodic Hann window w of
               frame_length, and x in -1 to 1
    mel        sums of power over n_mels triangles, evenly spaced from f_min to f_max on HTK's scale
               m(f) = 2595 log10(1 + f / 700) (O'Shaughnessy, 1987). The peak of each is 1, without
               a division by its area
    log-mel    ln(max(mel, floor))
    mfcc       the first n_mfcc values of the orthonormal DCT-II of log-mel, without liftering

The model's `mean` and `std` (see `channels.Channels`) normalize the result.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError
from ..shown import counted
from .frames import MAX_RATE, Float64, Sound, SoundStream

Kind = Literal["log-mel", "mfcc"]
MAX_FFT = 16384
MAX_MELS = 1024
# These limit the memory for a long recording: frames, and values, that are computed together.
BLOCK = 256
BLOCK_VALUES = 2**22


class FrontEndError(BundleError):
    """A value of a front end that is out of bounds, or contradicts another.

    field: its name in FrontEnd.
    """

    def __init__(self, field: str, what: str):
        self.field = field
        self.what = what
        super().__init__(f"front end: {what}")


@dataclasses.dataclass(frozen=True)
class FrontEnd(Sound):
    """From PCM to the channels of a model. The formulas are at the top of this module.

    Each frame is one sample of the model.

    kind          "log-mel" for the channels mel0, mel1, ..., or "mfcc" for mfcc0, mfcc1, ...
    sample_rate   of the mono PCM, in Hz
    frame_length  samples of a frame
    hop_length    samples from the start of a frame to that of the next, at most frame_length
    n_fft         a power of two, at least frame_length
    n_mels        the number of mel bands
    n_mfcc        the number of coefficients, 0 for kind "log-mel"
    f_min, f_max  Hz, the beginning of the first band and the end of the last one
    floor         the power that replaces any lower one in the logarithm

    Raises FrontEndError for a value that is out of bounds or contradicts another.

    >>> import numpy as np, edge_lstm_runtime as rt
    >>> front_end = rt.FrontEnd("log-mel", 8000, 256, 128, n_fft=256, n_mels=20, n_mfcc=0,
    ...                         f_min=20, f_max=4000)
    >>> front_end.size, front_end.names[:2], front_end.words
    (20, ('mel0', 'mel1'), 'log-mel')
    >>> second = np.zeros(8000, np.int16)  # mono PCM
    >>> front_end.frames(second).shape  # (samples,) -> (n, C)
    (61, 20)
    >>> stream = front_end.stream()  # for sound that comes in pieces
    >>> front_end.window().shape, front_end.mel_weights().shape, front_end.dct().shape
    ((256,), (20, 129), (0, 20))
    >>> bands, bins, weights = front_end.triangles()  # the weights above 0
    >>> rt.FrontEnd.from_dict({**vars(front_end), "n_mels": 10}).size
    10
    """

    kind: Kind
    sample_rate: int
    frame_length: int
    hop_length: int
    n_fft: int
    n_mels: int
    n_mfcc: int
    f_min: float
    f_max: float
    floor: float = 1e-4

    def __post_init__(self) -> None:
        def require(field: str, condition: bool, what: str) -> None:
            if not condition:
                raise FrontEndError(field, what)

        for name in ("sample_rate", "frame_length", "hop_length", "n_fft", "n_mels", "n_mfcc"):
            require(
                name,
                type(getattr(self, name)) is int,
                f"{name} is {getattr(self, name)!r}, expected a whole number",
            )
        for name in ("f_min", "f_max", "floor"):
            value = getattr(self, name)
            require(
                name,
                type(value) in (int, float) and abs(value) <= sys.float_info.max,
                f"{name} is {value!r}, expected a finite number",
            )
        require(
            "kind",
            self.kind in get_args(Kind),
            f"kind is {self.kind!r}, expected one of {get_args(Kind)}",
        )
        require(
            "sample_rate",
            1 <= self.sample_rate <= MAX_RATE,
            f"sample_rate is {self.sample_rate}, expected 1 to {MAX_RATE} Hz",
        )
        power_of_two = 4 <= self.n_fft <= MAX_FFT and self.n_fft & (self.n_fft - 1) == 0
        require(
            "n_fft",
            power_of_two,
            f"n_fft is {self.n_fft}, expected a power of two from 4 to {MAX_FFT}",
        )
        length = self.frame_length
        require(
            "frame_length",
            2 <= length <= self.n_fft,
            f"frame_length is {length}, expected 2 to n_fft ({self.n_fft})",
        )
        require(
            "hop_length",
            1 <= self.hop_length <= length,
            f"hop_length is {self.hop_length}, expected 1 to frame_length ({length})",
        )
        half = self.sample_rate / 2
        require(
            "f_min",
            0 <= self.f_min < self.f_max,
            f"f_min is {self.f_min:g}, expected 0 to below f_max ({self.f_max:g})",
        )
        require(
            "f_max",
            self.f_max <= half,
            f"f_max is {self.f_max:g}, expected at most half of sample_rate ({half:g})",
        )
        require("floor", 1e-30 <= self.floor <= 1, f"floor is {self.floor:g}, expected 1e-30 to 1")
        require(
            "n_mels",
            1 <= self.n_mels <= min(self.n_fft // 2, MAX_MELS),
            f"n_mels is {self.n_mels}, expected 1 to n_fft / 2 ({self.n_fft // 2}), "
            f"and at most {MAX_MELS}",
        )
        coefficients = 1 <= self.n_mfcc <= self.n_mels if self.kind == "mfcc" else self.n_mfcc == 0
        expected = f"1 to n_mels ({self.n_mels})" if self.kind == "mfcc" else "0 for kind 'log-mel'"
        require("n_mfcc", coefficients, f"n_mfcc is {self.n_mfcc}, expected {expected}")
        # A band without a bin would be constant. The lowest bands are the narrowest. Very narrow
        # ones begin and end at the same number.
        edges = self._mel_edges()
        first, end = self._mel_bins()
        empty = (first >= end) | (np.diff(edges)[:-1] <= 0) | (np.diff(edges)[1:] <= 0)
        require(
            "n_mels",
            not empty.any(),
            f"mel band {empty.argmax()} is narrower than an FFT bin; lower n_mels "
            f"({self.n_mels}), raise n_fft or f_min, or widen f_min to f_max",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """(C,) the names of the channels."""
        stem = "mfcc" if self.kind == "mfcc" else "mel"
        return tuple(f"{stem}{k}" for k in range(self.size))

    @property
    def size(self) -> int:
        """C, the number of channels."""
        return self.n_mfcc if self.kind == "mfcc" else self.n_mels

    @property
    def words(self) -> str:
        """The kind, as it is."""
        return self.kind

    def window(self) -> Float64:
        """(frame_length,) the periodic Hann window."""
        values: Float64 = 0.5 - 0.5 * np.cos(
            2 * np.pi * np.arange(self.frame_length) / self.frame_length
        )
        return values

    def _mel_edges(self) -> Float64:
        """(n_mels + 2,) Hz: band k begins at edge k, has its peak at k + 1, and ends at k + 2."""
        lowest, highest = (2595 * math.log10(1 + f / 700) for f in (self.f_min, self.f_max))
        mels = np.linspace(lowest, highest, self.n_mels + 2)
        edges: Float64 = 700 * (10 ** (mels / 2595) - 1)
        return edges

    def _bin_frequencies(self) -> Float64:
        """(n_fft / 2 + 1,) Hz"""
        bins = np.arange(self.n_fft // 2 + 1, dtype=np.float64)
        return bins * (self.sample_rate / self.n_fft)

    def _mel_bins(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(n_mels,) each: the first bin inside each band, and the first one after it."""
        edges = self._mel_edges()
        bins = self._bin_frequencies()
        return np.searchsorted(bins, edges[:-2], "right"), np.searchsorted(bins, edges[2:], "left")

    def triangles(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Float64]:
        """(n,) each: band, bin and weight, for every weight above 0, band after band."""
        first, end = self._mel_bins()
        band = np.repeat(np.arange(self.n_mels), end - first)
        bins = np.concatenate([np.arange(*ends) for ends in zip(first, end, strict=True)])
        frequency = self._bin_frequencies()[bins]
        left, peak, right = (self._mel_edges()[band + k] for k in range(3))
        rising = (frequency - left) / (peak - left)
        falling = (right - frequency) / (right - peak)
        return band, bins, np.minimum(rising, falling)

    def mel_weights(self) -> Float64:
        """(n_mels, n_fft / 2 + 1) the triangles, a row each."""
        weights: Float64 = np.zeros((self.n_mels, self.n_fft // 2 + 1))
        bands, bins, values = self.triangles()
        weights[bands, bins] = values
        return weights

    def dct(self) -> Float64:
        """(n_mfcc, n_mels) the first rows of the orthonormal DCT-II."""
        k = np.arange(self.n_mfcc)[:, None]
        n = np.arange(self.n_mels)
        rows: Float64 = np.cos(np.pi * k * (2 * n + 1) / (2 * self.n_mels)) * math.sqrt(
            2 / self.n_mels
        )
        rows[:1] *= math.sqrt(0.5)
        return rows

    def stream(self) -> FrontEndStream:
        """A new one, for one stream of sound."""
        return FrontEndStream(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FrontEnd:
        """The inverse of `dataclasses.asdict`.

        Raises BundleError for a key that is missing, unknown or of the wrong kind.
        """
        try:
            return cls(**values)
        except TypeError as e:
            raise BundleError(f"front end is malformed: {e}") from e


class FrontEndStream(SoundStream):
    """PCM in pieces of any length in, the channels of frames out.

    >>> import numpy as np, edge_lstm_runtime as rt
    >>> front_end = rt.FrontEnd("mfcc", 8000, 256, 128, n_fft=256, n_mels=20, n_mfcc=13,
    ...                         f_min=20, f_max=4000)
    >>> stream = front_end.stream()
    >>> stream
    FrontEndStream(mfcc, 13 channels; 0 samples pending)
    >>> stream.push(np.zeros(200, np.int16)).shape  # (samples,) -> (n, C): no frame is complete yet
    (0, 13)
    >>> stream.push(np.zeros(200, np.int16)).shape
    (2, 13)
    >>> stream.pending.shape  # (samples,) float64, with which the next frame begins
    (144,)
    >>> stream.reset()
    """

    def __init__(self, front_end: FrontEnd):
        super().__init__(front_end)
        self.front_end = front_end
        self._window = front_end.window()
        # The triangles as one list of (bin, weight), because each is only a few bins wide. A sum
        # over it doesn't depend on the number of frames.
        bands, self._bins, self._weights = front_end.triangles()
        self._starts = np.searchsorted(bands, np.arange(front_end.n_mels))
        self._dct = front_end.dct()
        self._block = max(1, min(BLOCK, BLOCK_VALUES // max(1, self._dct.size)))

    def __repr__(self) -> str:
        sound = self.front_end
        pending = counted(len(self._pending), "sample")
        return f"FrontEndStream({sound.words}, {sound.size} channels; {pending} pending)"

    def _channels(self, frames: Float64) -> Float64:
        values = np.empty((len(frames), self.front_end.size))
        for start in range(0, len(frames), self._block):
            block = slice(start, start + self._block)
            values[block] = self._coefficients(frames[block])
        return values

    def _coefficients(self, x: Float64) -> Float64:
        """x: (n, frame_length) -> (n, C)"""
        spectrum = np.fft.rfft(x * self._window, self.front_end.n_fft)
        power = spectrum.real**2 + spectrum.imag**2
        mel = np.add.reduceat(power[:, self._bins] * self._weights, self._starts, axis=1)
        log_mel: Float64 = np.log(np.maximum(mel, self.front_end.floor))
        if self.front_end.kind == "log-mel":
            return log_mel
        coefficients: Float64 = (log_mel[:, None, :] * self._dct).sum(axis=2)
        return coefficients
