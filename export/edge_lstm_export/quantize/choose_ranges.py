"""Which ranges the sums of the int8 cell get: those with the least error over real streams.

Over single steps the least error is that of narrow ranges, which clip a few sums. Over a stream a
clipped sum may be the one that matters, so no rule is the best for every net. Each is streamed over
validation and training data, emulated, and the one with the least error is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.emulate.npu_ranges import Float64, search_ranges, whole_range
from edge_lstm_runtime import ModelSpec, Reference

from .npu_int8 import Product, Weights, emulate, quantize

STREAMED = 6000  # steps of each of the two passes


def _whole(sums: Float64, importance: Float64, *, width: float) -> tuple[Float64, Float64]:  # noqa: ARG001
    return whole_range(sums, width)


RULES: dict[str, Callable[[Float64, Float64], tuple[Float64, Float64]]] = {
    "searched": search_ranges,
    **{f"{width:g} x the range": partial(_whole, width=width) for width in (1.0, 1.1, 1.25)},
}


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The products of each layer by the rule that was taken, and the streamed NRMSE of each rule:
    the larger one of recordings from the zero state, and of a state that is carried on."""

    products: Mapping[str, Product]
    rule: str
    errors: Mapping[str, float]


def choose(
    spec: ModelSpec, weights: Weights, calibration: Weights, recordings: Sequence[NDArray[Any]]
) -> Chosen:
    """calibration: see `quantize`. recordings: features (T, F) each, validation data first."""
    candidates = [quantize(spec, weights, calibration, rule) for rule in RULES.values()]
    errors = np.max([_errors(spec, weights, candidates, one) for one in passes(recordings)], axis=0)
    best = int(np.argmin(errors))
    measured = dict(zip(RULES, errors.tolist(), strict=True))
    return Chosen(candidates[best], list(RULES)[best], measured)


def passes(recordings: Sequence[NDArray[Any]]) -> list[list[NDArray[Any]]]:
    """Streams of up to STREAMED steps: the first recordings, each from the zero state. If there are
    several, one through all of them too."""
    found = [_first(recordings)]
    if len(recordings) > 1:
        order = np.random.default_rng(0).permutation(len(recordings))
        found.append([np.concatenate([recordings[n] for n in order])[:STREAMED]])
    return found


def _first(recordings: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Those that STREAMED steps take, the last one cut."""
    found = []
    left = STREAMED
    for recording in recordings:
        if left > 0:
            found.append(recording[:left])
            left -= len(recording)
    return found


def _errors(
    spec: ModelSpec,
    weights: Weights,
    candidates: Sequence[Mapping[str, Product]],
    recordings: Sequence[NDArray[Any]],
) -> Float64:
    """(candidates,) NRMSE over all steps, each recording from the zero state."""
    lengths = np.array([len(x) for x in recordings])
    xs = np.zeros((len(recordings), lengths.max(), recordings[0].shape[1]))
    for n, x in enumerate(recordings):
        xs[n, : len(x)] = x
    real = np.arange(xs.shape[1]) < lengths[:, None]
    right = np.concatenate([Reference(spec, weights).run(x) for x in recordings])
    found = emulate(spec, weights, candidates, xs)[:, real]
    rms: Float64 = np.sqrt(((found - right) ** 2).mean(axis=(1, 2)))
    return rms / (right.std() or 1.0)
