"""What an export counts as right. The reasons stand in docs/backends.md, "What counts as right"."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec, compare
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.check import AUTO_STEPS
from edge_lstm_runtime.compare import FLOAT16, INT8, Tolerance, float32_tolerance
from edge_lstm_runtime.golden import Lengths, run_sequences

NEIGHBOURS = 4  # sets of weights beside the net's own
FLOAT32_MARGIN = 5.0
FLOAT16_ROUNDING = 2.0**-11
WRONG = 10.0  # times what is good
MARGIN = 1.5
FLOAT16_MARGIN = 3.0


def float32(
    spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]], rows: NDArray[Any], lengths: Lengths, reference: NDArray[np.float64]
) -> Tolerance:
    """What NumPy, the native kernel and ONNX Runtime are held to: how far this net's answers move when each weight becomes the next number
    that float32 has, up or down by chance, with FLOAT32_MARGIN.

    At least `float32_tolerance`, at most FLOAT16_ROUNDING of the largest output or 1. rows: (steps, F) features, sequences of `lengths` one
    after the other; reference: (steps, O).
    """

    def answers(values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        return run_sequences(numpy_backend(spec, values), rows.astype(np.float32), lengths)

    rng, ways = np.random.default_rng(0), np.array([-np.inf, np.inf], np.float32)
    here, moved = answers(weights), 0.0
    for _ in range(NEIGHBOURS):
        there = answers({name: np.nextafter(array, rng.choice(ways, array.shape)) for name, array in weights.items()})
        moved = max(moved, float(np.abs(there - here).max()))
    least = float32_tolerance(reference)
    most = FLOAT16_ROUNDING * max(1.0, float(np.abs(reference).max()))
    if FLOAT32_MARGIN * moved <= least.limit:
        return least
    reason = f"{FLOAT32_MARGIN:g} x what the answers move by when each weight becomes the next number in float32, at most {most:.1e}"
    return dataclasses.replace(least, limit=min(float(f"{FLOAT32_MARGIN * moved:.2g}"), most), reason=reason)


def good(scheme: str) -> float:
    """The NRMSE within which a model in this number format is good."""
    return (FLOAT16 if scheme == "fp16" else INT8).limit


def wrong(scheme: str) -> float:
    """The NRMSE beyond which a model in this number format is certainly wrong, and is left out."""
    return WRONG * good(scheme)


def quantized(
    scheme: str, outputs: NDArray[Any], reference: NDArray[np.float64], where: str, test_split: Iterable[float] = ()
) -> Tolerance:
    """What a board is held to in this number format.

    outputs, reference: (steps, O) of the golden samples, with the error over the steps that a load checks; where: they were measured, in
    words. test_split: the NRMSE of each pass through it.
    """
    first = compare(outputs[:AUTO_STEPS], reference[:AUTO_STEPS], float(reference.std()))
    return with_margin(scheme, max(compare(outputs, reference).nrmse, first.nrmse, *test_split), where)


def with_margin(scheme: str, nrmse: float, where: str) -> Tolerance:
    """where: the figure was measured, in words."""
    if scheme != "fp16":
        return Tolerance("nrmse", float(f"{MARGIN * nrmse:.2g}"), f"{MARGIN:g} x the NRMSE {where}")
    limit = max(float(f"{FLOAT16_MARGIN * nrmse:.2g}"), FLOAT16_ROUNDING)
    return Tolerance("nrmse", limit, f"{FLOAT16_MARGIN:g} x the NRMSE {where}, at least {FLOAT16_ROUNDING:.1e}, one rounding")
