"""The tensors that a step gives: y and the states, each against the float64 reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Backend
from edge_lstm_runtime.backends.reference import reference

from ...work import Artifact, Work
from ..converted import Traced


def traced(work: Work, artifact: Artifact, rows: NDArray[np.float32]) -> list[Traced]:
    """rows: (steps, F), the state carried from zero."""
    made: Any = artifact.converter
    found = _streamed(made.integers(), rows)
    exact = _streamed(reference(work.spec, work.weights), rows)
    return [Traced(name, array, exact[name]) for name, array in found.items()]


def _streamed(backend: Backend, rows: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """(steps, size) by name."""
    steps = [{"y": backend.step(row), **backend.state} for row in rows]
    return {name: np.stack([step[name] for step in steps]) for name in steps[0]}
