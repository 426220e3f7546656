"""What the tests of the C export share: models of every kind to export, and commands to run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from edge_lstm_runtime import ModelSpec, Reference, write_bundle
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.tasks.forecast import Detector, Forecast
from helpers.specs import chain
from helpers.weights import normal_weights

STRICT = "-Wall -Wextra -Wdouble-promotion -Wfloat-conversion -Wconversion -Werror"
ODD = 'a "b" */ // ??/ %s \\n é'  # a name that C would read as something, in a string, a comment or a format


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


def passed(done: subprocess.CompletedProcess[str]) -> str:
    """The self-test's line of figures; AssertionError with all that was printed unless it ended well."""
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in lines, done.stdout + done.stderr
    return next(line for line in lines if line.startswith("largest error"))


def masked_bundle(path: Path) -> Path:
    """A forecast of two targets with residual answers, whose missing values are told to the model; sizes that fill no tile; odd names."""
    rng = np.random.default_rng(5)
    mean = (20.0, 101325.0, -3e-4)
    std = (4.0, 130.5, 2e-5)
    inputs = Channels((ODD, "pressure", "flow"), mean, std, missing="mask")
    offset = (0.5, 0.0) * 3
    scale = (130.5, 4.0) * 3
    answer = Forecast(("pressure", ODD), 3, offset, scale, residual=True)
    spec = ModelSpec(inputs, chain(6, 13, 3, 6), answer)
    weights = normal_weights(spec, rng)
    x = np.asarray(mean) + np.asarray(std) * rng.normal(size=(1000, 3))
    x[rng.random(x.shape) < 0.1] = np.nan
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path


def timed_detector_bundle(path: Path) -> Path:
    """A detector over two targets and three steps ahead, with an irregular clock, gaps in the data, and a threshold amid the scores."""
    rng = np.random.default_rng(6)
    inputs = Channels(
        ("a", "elapsed", "b"),
        mean=(1.0, 0.7, -2.0),
        std=(2.0, 0.4, 1.0),
        missing="ffill",
        dt="elapsed",
        dt_unit=300.0,
        time="when",
    )
    detector = Detector(
        centre=(0.1, -0.2, 0.0, 0.3, 0.2, 0.1),
        scale=(1.0, 1.5, 2.0, 1.1, 0.9, 1.3),
        threshold=2.0,
        smoothing=0.5,
    )
    answer = Forecast(
        ("b", "a"), 3, (0.1, 0.0) * 3, (1.5, 2.0) * 3, residual=True, detector=detector
    )
    spec = ModelSpec(inputs, chain(3, 9, 1, 6), answer)
    weights = normal_weights(spec, rng)
    x = np.stack(
        [
            rng.normal(1, 2, 400),
            rng.choice([0.0, 300.0, 86400.0, 1.5], 400),
            rng.normal(-2, 1, 400),
        ],
        axis=1,
    )
    gaps = rng.random(x.shape) < 0.1
    x[gaps] = np.nan
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path
