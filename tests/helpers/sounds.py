"""Front ends, a sound for them to hear, and models that take it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.frames import Frames
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.tasks.classify import Classify
from edge_lstm_runtime.tasks.values import Values
from edge_lstm_runtime.verify.golden import golden_features, run_sequences
from helpers.specs import chain, changed
from helpers.weights import random_weights

LOG_MEL = rt.FrontEnd("log-mel", 8000, 200, 80, 256, 40, 0, 20.0, 4000.0)


def sound(front_end: rt.FrontEnd, seconds: float = 0.6) -> np.ndarray[Any, Any]:
    """int16: a rising tone, a steady one, noise, and a silence in which the floor counts."""
    t = np.arange(round(seconds * front_end.sample_rate)) / front_end.sample_rate
    x = 0.4 * np.sin(2 * np.pi * (200 + 2000 * t) * t) + 0.2 * np.sin(2 * np.pi * 700 * t)
    x += 0.02 * np.random.default_rng(0).standard_normal(len(t))
    x[len(x) // 2 : len(x) * 3 // 4] = 0
    return np.round(32767 * np.clip(x, -1, 1)).astype(np.int16)


def sound_spec(
    front_end: rt.FrontEnd, *, bidirectional: bool = False, **changes: Any
) -> rt.ModelSpec:
    """changes: as of `helpers.specs.changed`."""
    names = front_end.names
    inputs = Channels(names, (-5.0,) * len(names), (3.0,) * len(names), front_end=front_end)
    answer = Classify(("a", "b", "c"))
    network = chain(len(names), 8, 1, 3, bidirectional=bidirectional)
    return changed(rt.ModelSpec(inputs, network, answer), **changes)


def write_whole(path: Path) -> None:
    """The bundle of a bidirectional model."""
    spec = sound_spec(LOG_MEL, bidirectional=True)
    weights = random_weights(spec)
    x = LOG_MEL.frames(sound(LOG_MEL))
    lengths = np.array([40, 18])
    y = run_sequences(reference(spec, weights), golden_features(spec, x, lengths), lengths)
    rt.write_bundle(
        path, spec, weights, {"golden.npz": write_npz({"x": x, "y": y, "lengths": lengths})}
    )


def frames_spec(
    length: int, outputs: int, hop: int = 0, *, hidden: int = 6, bidirectional: bool = False
) -> rt.ModelSpec:
    """Of a net that reads frames of PCM as they are. hop: 0 for a whole frame."""
    frames = Frames(8000, length, hop or length)
    names = tuple(f"x{k}" for k in range(length))
    inputs = Channels(names, (0.0,) * length, (1.0,) * length, frames=frames)
    network = chain(length, hidden, 1, outputs, bidirectional=bidirectional)
    return rt.ModelSpec(inputs, network, Values(tuple(f"y{k}" for k in range(outputs))))
