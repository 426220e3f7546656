"""The limits within which an export counts an error as right. docs/backends.md, "What counts as
right", has the reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Backend, ModelSpec, compare
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.model.facts import FEWER_BITS_MOST
from edge_lstm_runtime.verify.check import AUTO_STEPS
from edge_lstm_runtime.verify.error import FLOAT16, INT8, Tolerance, float32_tolerance
from edge_lstm_runtime.verify.golden import Lengths, run_sequences

NEIGHBOURS = 4  # sets of weights beside the net's own
FLOAT32_MARGIN = 5.0
FLOAT16_ROUNDING = 2.0**-11
WRONG = 10.0  # times what is good
MARGIN = 1.5
LEAST = 1e-5  # a net of one unit is exact in int8, but for float32 rounding
FLOAT16_MARGIN = 4.0

Weights = Mapping[str, NDArray[np.float32]]
Opened = Callable[[Weights], Backend]


def moved_by_rounding(
    spec: ModelSpec,
    weights: Weights,
    rows: NDArray[np.float32],
    lengths: Lengths,
    opened: Opened | None = None,
) -> float:
    """The largest change of the float model's answers if each weight becomes the next number that
    float32 has, up or down by chance.

    rows: (steps, F) features, sequences of `lengths` one after the other. opened: the float model's
    backend with these weights, or None for NumPy's.
    """
    opened = opened or partial(numpy_backend, spec)
    rng = np.random.default_rng(0)
    ways = np.array([-np.inf, np.inf], np.float32)
    here = run_sequences(opened(weights), rows, lengths)
    moved = 0.0
    for _ in range(NEIGHBOURS):
        beside = {n: np.nextafter(w, rng.choice(ways, w.shape)) for n, w in weights.items()}
        there = run_sequences(opened(beside), rows, lengths)
        moved = max(moved, float(np.abs(there - here).max()))
    return moved


def float32(
    spec: ModelSpec,
    weights: Weights,
    rows: NDArray[Any],
    lengths: Lengths,
    reference: NDArray[np.float64],
    opened: Opened | None = None,
) -> Tolerance:
    """The tolerance of NumPy, the native kernel and ONNX Runtime.

    rows: (steps, F) features, sequences of `lengths` one after the other. reference: (steps, O).
    opened: as of `moved_by_rounding`.
    """
    least = float32_tolerance(reference)
    most = FLOAT16_ROUNDING * max(1.0, float(np.abs(reference).max()))
    rounding = FLOAT32_MARGIN * moved_by_rounding(
        spec, weights, rows.astype(np.float32), lengths, opened
    )
    if rounding <= least.limit:
        return least
    moves = "what the answers move by when each weight becomes the next number in float32"
    reason = f"{FLOAT32_MARGIN:g} x {moves}, at most {most:.1e}"
    return Tolerance("max_abs", min(float(f"{rounding:.2g}"), most), reason)


def good(scheme: str) -> float:
    """The NRMSE within which a model in this number format is good."""
    return (FLOAT16 if scheme == "fp16" else INT8).limit


def wrong(scheme: str) -> float:
    """The NRMSE beyond which a model in this number format is certainly wrong."""
    return WRONG * good(scheme)


def fewer_bits(
    scheme: str,
    outputs: NDArray[Any],
    reference: NDArray[np.float64],
    where: str,
    test_split: Iterable[float] = (),
) -> Tolerance:
    """The tolerance of a board over the golden samples, and over the first of them at load.

    outputs, reference: (steps, O) of the golden samples. where: the place of their measurement, in
    words. test_split: the NRMSE of each pass through it.
    """
    first = compare(outputs[:AUTO_STEPS], reference[:AUTO_STEPS], float(reference.std()))
    largest = max(compare(outputs, reference).nrmse, first.nrmse, *test_split)
    return with_margin(scheme, largest, where)


def with_margin(scheme: str, nrmse: float, where: str) -> Tolerance:
    """where: the place of the measurement, in words."""
    most = FEWER_BITS_MOST["nrmse"]  # beyond it a bundle is refused
    if scheme != "fp16":
        limit = min(max(float(f"{MARGIN * nrmse:.2g}"), LEAST), most)
        return Tolerance("nrmse", limit, f"{MARGIN:g} x the NRMSE {where}")
    limit = min(max(float(f"{FLOAT16_MARGIN * nrmse:.2g}"), FLOAT16_ROUNDING), most)
    least = f"at least {FLOAT16_ROUNDING:.1e}, one rounding"
    return Tolerance("nrmse", limit, f"{FLOAT16_MARGIN:g} x the NRMSE {where}, {least}")
