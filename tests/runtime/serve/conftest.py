"""A bundle to serve, and its samples."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.bundles import make_bundle
from helpers.specs import make_spec


def ranged_spec():
    """Two channels, "temp" from 10 to 30 and "load" from 0 to 1; gaps are refused."""
    spec = make_spec(channels=("temp", "load"), hidden=8, mean=(20.0, 0.5), std=(5.0, 0.25))
    inputs = dataclasses.replace(spec.inputs, low=(10.0, 0.0), high=(30.0, 1.0))
    return dataclasses.replace(spec, inputs=inputs)


@pytest.fixture(scope="session")
def served_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "room.edge"
    make_bundle(path, ranged_spec())
    return path


@pytest.fixture(scope="session")
def xs() -> NDArray[np.float64]:
    """(400, 2), each exact in float32."""
    rows = np.random.default_rng(7).normal((20, 0.5), (4, 0.2), (400, 2))
    return rows.astype(np.float32).astype(np.float64)
