"""The front end's tables for front_end.c, and the sound that its self-test hears."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import FrontEnd

FRAMES = 20  # of the self-test
LIMIT = 1e-4  # of a frame's largest error: the FFT and the logarithm in float32


def sound_tables(front_end: FrontEnd) -> dict[str, Any]:
    """Flat lists for the templates, by the names of el_front_end; pcm and frames for golden.h."""
    angles = 2 * np.pi * np.arange(front_end.n_fft // 2) / front_end.n_fft
    weights = front_end.mel_weights()
    first = (weights > 0).argmax(axis=1)
    counts = (weights > 0).sum(axis=1)  # a triangle: its bins are neighbours
    pcm = made_up(front_end)
    tables = {
        "window": front_end.window().tolist(),
        "waves": np.stack([np.cos(angles), np.sin(angles)], axis=1).ravel().tolist(),
        "bands": np.stack([first, counts], axis=1).ravel().tolist(),
        "weights": weights[weights > 0].tolist(),
        "dct": front_end.dct().ravel().tolist(),
    }
    size = sum((2 if name == "bands" else 4) * len(values) for name, values in tables.items())
    return tables | {
        "bytes": size,
        "floor": front_end.floor,
        "pcm": pcm.tolist(),
        "frames": front_end.frames(pcm).tolist(),
        "limit": LIMIT,
    }


def sound_ram(front_end: FrontEnd) -> int:
    """Bytes of the samples and the work that model.c holds for a stream."""
    return 2 * front_end.frame_length + 4 * (front_end.n_fft + front_end.n_mels)


def made_up(front_end: FrontEnd) -> NDArray[np.int16]:
    """FRAMES frames of a tone that rises through all bands, in noise, with a silence in between."""
    count = front_end.frame_length + (FRAMES - 1) * front_end.hop_length
    t = np.arange(count) / count
    phase = np.pi * t**2 * count * front_end.f_max / front_end.sample_rate  # its rate ends at f_max
    x = 8000 * np.sin(phase) + np.random.default_rng(0).normal(0, 200, count)
    x[count // 2 : count // 2 + front_end.frame_length + front_end.hop_length] = 0
    return np.round(x).astype(np.int16)
