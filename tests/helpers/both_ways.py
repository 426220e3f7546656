"""A bidirectional model and its bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_export.graphs.bundle import build
from edge_lstm_runtime import Bundle, ModelSpec, write_bundle
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.verify.golden import golden_features, run_sequences
from helpers.specs import make_spec, samples
from helpers.weights import random_weights

LENGTHS = [17, 1, 22]


def write(
    path: Path, spec: ModelSpec, *, lengths: Any = LENGTHS, seed: int = 0, **facts: Any
) -> Bundle:
    """lengths: written for those of the golden sequences, or None for no such array."""
    weights = random_weights(spec, seed)
    xs = samples(spec, sum(LENGTHS))
    right = np.array(LENGTHS)
    golden = {
        "x": xs,
        "y": run_sequences(reference(spec, weights), golden_features(spec, xs, right), right),
    }
    if lengths is not None:
        golden["lengths"] = np.asarray(lengths)
    members = {
        "golden.npz": write_npz(golden),
        "model.onnx": build(spec, weights, "fused").SerializeToString(deterministic=True),
    }
    members |= dict.fromkeys(facts.get("artifacts", {}), b"converted")
    return write_bundle(path, spec, weights, members, **facts)


SPEC = make_spec(hidden=6, layers=2, missing="ffill", bidirectional=True)
