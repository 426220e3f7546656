"""What counts as right: enough for every correct implementation, too little for a wrong one."""

from __future__ import annotations

import numpy as np
import pytest

from edge_lstm_export.graphs.bundle import build
from edge_lstm_export.measure import tolerances
from edge_lstm_runtime import Reference, compare
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.backends.onnx import OnnxBackend

STEPS = 600


def float32_backends(spec, weights):
    return {
        "numpy": NumpyBackend(spec, weights),
        "native": NativeBackend(spec, weights),
        "fused": OnnxBackend(spec, build(spec, weights, "fused").SerializeToString()),
        "cell": OnnxBackend(spec, build(spec, weights, "cell").SerializeToString()),
    }


def remembering(random_model, layers, hidden, seed, *, gain):
    """A net with open forget gates: its cell state is a sum over hundreds of steps."""
    spec, weights = random_model(layers, hidden, seed=seed)
    for k in range(layers):
        weights[f"lstm{k}.b"][hidden : 2 * hidden] += 4
        for name in ("W_x", "W_h"):
            weights[f"lstm{k}.{name}"] *= np.float32(gain)
    return spec, weights


def measured(spec, weights):
    """The reference's outputs, the tolerance, and the largest error of each implementation."""
    rows = np.random.default_rng(7).normal(size=(STEPS, spec.feature_size)).astype(np.float32)
    reference = Reference(spec, weights).run(rows)
    errors = {}
    for name, backend in float32_backends(spec, weights).items():
        errors[name] = np.abs(backend.run(rows) - reference).max()
    tolerance = tolerances.float32(spec, weights, rows, np.array([STEPS]), reference)
    return reference, tolerance, errors, rows


@pytest.mark.parametrize(("layers", "hidden"), [(1, 64), (2, 32), (1, 8)])
def test_float32_of_a_net_that_forgets_is_the_least(random_model, layers, hidden):
    reference, tolerance, errors, _ = measured(*random_model(layers, hidden))
    least = 1e-5 * max(1, np.abs(reference).max())
    assert (tolerance.metric, tolerance.limit) == ("max_abs", pytest.approx(least))
    assert max(errors.values()) < 2e-6


@pytest.mark.parametrize(
    ("layers", "hidden", "seed", "gain"),
    [(2, 64, 0, 1.5), (2, 32, 1, 0.7), (2, 32, 5, 1.1), (2, 32, 19, 2.5), (2, 32, 11, 1.7)],
)
def test_float32_of_a_net_that_remembers(random_model, layers, hidden, seed, gain):
    """Every implementation is within, though not all are within 1e-5. An altered net is not."""
    spec, weights = remembering(random_model, layers, hidden, seed, gain=gain)
    reference, tolerance, errors, rows = measured(spec, weights)
    worst = max(errors.values())
    assert worst > 1e-5 * max(1, np.abs(reference).max()), "no example of what this is about"
    assert worst <= tolerance.limit <= 50 * worst, errors
    assert "next number in float32" in tolerance.reason
    altered = {**weights, "head.b": weights["head.b"] + np.float32(2e-3)}
    for name, backend in float32_backends(spec, altered).items():
        assert not compare(backend.run(rows), reference).within(tolerance), name


def test_float32_has_an_end(random_model):
    """A net whose answers float32 does not determine is held to a rounding of float16, 2^-11."""
    spec, weights = remembering(random_model, 2, 32, 11, gain=4.0)
    rows = np.random.default_rng(7).normal(size=(STEPS, spec.feature_size)).astype(np.float32)
    moved = tolerances.moved_by_rounding(spec, weights, rows, np.array([STEPS]))
    reference, tolerance, *_ = measured(spec, weights)
    most = 0.00048828125 * max(1, np.abs(reference).max())
    assert 5 * moved > most, "no example of what this is about"
    assert tolerance.limit == pytest.approx(most)


def test_the_tolerance_does_not_follow_a_wrong_backend(random_model, monkeypatch):
    """It is measured with NumPy. An error of NumPy's own is in both answers that are compared."""
    spec, weights = random_model(1, 16)
    rows = np.random.default_rng(7).normal(size=(STEPS, 6)).astype(np.float32)
    reference = Reference(spec, weights).run(rows)

    def wrong(s, w):
        return NumpyBackend(s, {**w, "head.b": w["head.b"] + np.float32(0.5)})

    monkeypatch.setattr(tolerances, "numpy_backend", wrong)
    assert tolerances.float32(spec, weights, rows, np.array([STEPS]), reference).limit < 3e-5


def stream(nrmse, steps=400):
    """Outputs with just this NRMSE, and the reference."""
    reference = np.random.default_rng(0).normal(size=(steps, 2))
    error = np.random.default_rng(1).choice([-1.0, 1.0], size=reference.shape)
    return reference + error * nrmse * reference.std(), reference


@pytest.mark.parametrize(
    ("scheme", "golden", "split", "limit"),
    [
        ("w8a8", 8e-3, (), 1.2e-2),
        ("w8a8", 8e-3, (3.3e-2, 2.8e-2), 5e-2),  # 1.5 x 3.3e-2 to two digits
        ("int8", 8e-3, (3e-3,), 1.2e-2),
        ("fp16", 4e-4, (), 1.6e-3),
        ("fp16", 4e-4, (1e-3,), 4e-3),
        ("fp16", 1e-7, (), 2.0**-11),
    ],
)
def test_fewer_bits_are_held_to_what_was_measured_with_a_margin(scheme, golden, split, limit):
    tolerance = tolerances.fewer_bits(scheme, *stream(golden), "here", split)
    assert (tolerance.metric, tolerance.limit) == ("nrmse", pytest.approx(limit))
    assert "x the NRMSE here" in tolerance.reason


def test_the_first_steps_that_a_load_checks_are_within_too():
    outputs, reference = stream(1e-3)
    outputs[:200] += 2e-2
    tolerance = tolerances.fewer_bits("w8a8", outputs, reference, "here")
    assert compare(outputs[:200], reference[:200], float(reference.std())).within(tolerance)
