"""Backends put in place of the built-in ones, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import Bundle, Model, Session, write_bundle
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.verify.auto_cache import Reason
from helpers.bundles import artifact_entry, members_of
from helpers.plug_ins import replace_backend
from helpers.specs import make_spec
from helpers.weights import random_weights

SPEC = make_spec(hidden=16, layers=2)


def with_artifacts(path: Path, *entries: str, **more: Any) -> Bundle:
    weights = random_weights(SPEC)
    members = {**members_of(SPEC, weights), **dict.fromkeys(entries, b"RKNN")}
    return write_bundle(
        path / "npu.edge",
        SPEC,
        weights,
        members,
        artifacts={name: artifact_entry(**more) for name in entries},
    )


def register(monkeypatch: pytest.MonkeyPatch, name: str, opener: Any) -> None:
    """In place of a built-in backend."""
    replace_backend(monkeypatch, name, open_backend=opener)


def perturbed(bundle: Bundle, **_: Any) -> NumpyBackend:
    """Wrong by a little: four weights in a row are off by a hundredth."""
    weights = {name: array.copy() for name, array in bundle.weights.items()}
    weights["lstm0.W_h"][:, :4] += 1e-2
    return NumpyBackend(bundle.spec, weights)


class Slow(NumpyBackend):
    """Right, and slower than the others by far."""

    def step(self, features: Any) -> Any:
        outputs = super().step(features)
        for _ in range(300):
            np.tanh(features)
        return outputs


def reason_of(reasons: Sequence[Reason], name: str) -> str:
    (found,) = (r.text for r in reasons if r.backend == name)
    return found


def load_session(bundle: Bundle, backend: str, **options: Any) -> Session:
    return Model(bundle).session(backend, **options)
