"""What the tests of the C export share: models of every kind to export, and commands to run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from edge_lstm_runtime import ModelSpec, Reference, write_bundle
from edge_lstm_runtime.inputs.channels import features
from edge_lstm_runtime.model.npz import write_npz
from helpers.weights import normal_weights

STRICT = "-Wall -Wextra -Wdouble-promotion -Wfloat-conversion -Wconversion -Werror"
ODD = 'a "b" */ // ??/ %s \\n é'  # a name that C would read as something, in a string, a comment or a format


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def passed(done: subprocess.CompletedProcess[str]) -> str:
    """The self-test's line of figures; AssertionError with all that was printed unless it ended well."""
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in lines, done.stdout + done.stderr
    return next(line for line in lines if line.startswith("largest error"))


def masked_bundle(path: Path) -> Path:
    """A forecast of two targets with residual answers, whose missing values are told to the model; sizes that fill no tile; odd names."""
    rng = np.random.default_rng(5)
    spec = ModelSpec(
        task="forecast", channels=(ODD, "pressure", "flow"), hidden_size=13, num_layers=3, missing="mask",
        input_mean=(20.0, 101325.0, -3e-4), input_std=(4.0, 130.5, 2e-5), targets=("pressure", ODD), horizon=3, residual=True,
        output_offset=(0.5, 0.0) * 3, output_scale=(130.5, 4.0) * 3,
    )  # fmt: skip
    weights = normal_weights(spec, rng)
    x = np.asarray(spec.input_mean) + np.asarray(spec.input_std) * rng.normal(size=(1000, 3))
    x[rng.random(x.shape) < 0.1] = np.nan
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(features(spec, x)[0])})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path


def timed_detector_bundle(path: Path) -> Path:
    """A detector over two targets and three steps ahead, with an irregular clock, gaps in the data, and a threshold amid the scores."""
    rng = np.random.default_rng(6)
    spec = ModelSpec(
        task="forecast", channels=("a", "elapsed", "b"), hidden_size=9, num_layers=1, missing="ffill",
        input_mean=(1.0, 0.7, -2.0), input_std=(2.0, 0.4, 1.0), targets=("b", "a"), horizon=3, residual=True,
        output_offset=(0.1, 0.0) * 3, output_scale=(1.5, 2.0) * 3, dt="elapsed", dt_unit=300.0, time="when",
        anomaly_centre=(0.1, -0.2, 0.0, 0.3, 0.2, 0.1), anomaly_scale=(1.0, 1.5, 2.0, 1.1, 0.9, 1.3), anomaly_threshold=2.0,
        anomaly_smoothing=0.5,
    )  # fmt: skip
    weights = normal_weights(spec, rng)
    x = np.stack([rng.normal(1, 2, 400), rng.choice([0.0, 300.0, 86400.0, 1.5], 400), rng.normal(-2, 1, 400)], axis=1)
    gaps = rng.random(x.shape) < 0.1
    x[gaps] = np.nan
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(features(spec, x)[0])})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path
