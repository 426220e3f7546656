"""An environment with the wheel and NumPy alone: what a board has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.inputs.channels import features
from edge_lstm_runtime.model.npz import write_npz
from helpers.paths import ROOT
from helpers.weights import random_weights


@pytest.fixture(scope="session")
def board(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment, with the wheel that has no library."""
    folder = tmp_path_factory.mktemp("board")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    numpy = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), "numpy"]
    done = subprocess.run(numpy, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"NumPy can't be installed here, from no index: {done.stderr[-300:]}")
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheels["any"])], check=True)
    return python


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made here, for the board to run."""
    spec = rt.ModelSpec("classify", ("a", "b"), 16, 2, (0.0, 1.0), (1.0, 2.0), classes=("still", "moving"))
    weights = random_weights(spec)
    x = np.random.default_rng(0).standard_normal((100, 2))
    y = rt.Reference(spec, weights).run(features(spec, x)[0])
    path = tmp_path_factory.mktemp("bundle") / "small.edge"
    rt.write_bundle(path, spec, weights, {"golden.npz": write_npz({"x": x, "y": y})})
    return path
