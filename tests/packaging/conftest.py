"""An environment with the runtime's wheel and NumPy alone: what a board has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.model.npz import write_npz
from helpers.locks import locked
from helpers.specs import make_spec
from helpers.weights import random_weights


@pytest.fixture(scope="session")
def board(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment, with the wheel that has no library."""
    python = with_numpy(tmp_path_factory.mktemp("board"))
    pip(python, "--no-deps", "--no-index", str(wheels["any"]))
    return python


@pytest.fixture(scope="session")
def desktop(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of one more, with the wheels of both distributions out of a folder."""
    python = with_numpy(tmp_path_factory.mktemp("desktop"))
    pip(python, "--no-index", "--find-links", str(dist), "edge-lstm")
    return python


def pip(python: Path, *arguments: str) -> None:
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *arguments], check=True)


def with_numpy(folder: Path) -> Path:
    """The Python of a fresh environment with NumPy as it is locked."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    (folder / "numpy.txt").write_text(locked(["numpy"]), "utf-8")
    numpy = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    numpy += ["--requirement", str(folder / "numpy.txt")]
    done = subprocess.run(numpy, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"NumPy can't be installed here, from no index: {done.stderr[-300:]}")
    return python


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made here, for the board to run."""
    spec = make_spec(
        channels=["a", "b"], hidden=16, layers=2, outputs=2, mean=[0.0, 1.0], std=[1.0, 2.0]
    )
    weights = random_weights(spec)
    x = np.random.default_rng(0).standard_normal((100, 2))
    y = rt.Reference(spec, weights).run(spec.features(x))
    path = tmp_path_factory.mktemp("bundle") / "small.edge"
    rt.write_bundle(path, spec, weights, {"golden.npz": write_npz({"x": x, "y": y})})
    return path
