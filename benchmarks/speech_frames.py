"""Magnitude spectra of spoken digits, as DTLN's first net takes them, in a .npy file.

Frames of 512 samples at 16 kHz, 128 apart, not windowed: 257 values each. The recordings (Free
Spoken Digit Dataset, 8 kHz) come in a random order with pauses between them, at levels of -30 to -6
dB, with white noise of -50 dB. All of it is drawn with one seed.
"""

from __future__ import annotations

import argparse
import os
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

FRAME = 512
SHIFT = 128
NOISE = 10 ** (-50 / 20)


def speech(folder: Path, samples: int, seed: int) -> NDArray[np.float64]:
    """(samples,) at 16 kHz, most of it within -1 to 1. folder: of the recordings."""
    rng = np.random.default_rng(seed)
    files = sorted(folder.glob("*.wav"))
    parts = []
    while sum(map(len, parts)) < samples:
        with wave.open(str(files[rng.integers(len(files))])) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        level = 10 ** (rng.uniform(-30, -6) / 20) / np.abs(sound).max()
        parts += [level * resample_poly(sound, 2, 1), np.zeros(rng.integers(1600, 9600))]
    whole = np.concatenate(parts)[:samples]
    return np.asarray(whole + NOISE * rng.standard_normal(samples))


def spectra(sound: NDArray[np.float64]) -> NDArray[np.float32]:
    """(frames, 257)."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::SHIFT]
    return np.abs(np.fft.rfft(frames)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="NAME.npy")
    parser.add_argument("--frames", type=int, default=15_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    folder = Path(os.environ["EDGE_LSTM_DATA"]) / "fsdd" / "recordings"
    samples = FRAME + SHIFT * (arguments.frames - 1)
    np.save(arguments.out, spectra(speech(folder, samples, arguments.seed)))


if __name__ == "__main__":
    main()
