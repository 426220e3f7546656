"""How many samples the quantizer sees."""

from __future__ import annotations

import numpy as np

from edge_lstm_export.quantize.calibration import calibrate
from helpers.weights import random_model


def test_the_smallest_set_is_taken_that_is_nearly_as_good_as_the_best() -> None:
    spec, weights = random_model(2, 8, channels=3)
    rng = np.random.default_rng(1)
    recordings = [rng.normal(size=(300, 3)) for _ in range(8)]
    samples, curve = calibrate(spec, weights, recordings, list("abababab"), np.concatenate(recordings[:3]))
    assert list(curve) == [256, 512, 1024, 2048, 4096, 4800]  # 2 x 8 x 300 steps there are
    best = min(curve.values())
    assert curve[256] > 1.3 * best  # the case is one in which the smallest set will not do
    assert len(samples["x"]) == min(size for size, error in curve.items() if error <= 1.1 * best)
    assert {name: array.shape[1:] for name, array in samples.items()} == {"x": (3,), "h": (2, 8), "c": (2, 8)}


def test_without_a_stream_to_measure_on_it_is_1024() -> None:
    spec, weights = random_model(1, 4, channels=2)
    samples, curve = calibrate(spec, weights, [np.random.default_rng(0).normal(size=(900, 2))], ["a"], None)
    assert len(samples["x"]) == 1024
    assert curve == {}
