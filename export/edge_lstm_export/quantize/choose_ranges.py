"""Which ranges the sums of the int8 cell get: those with the least error over real streams.

Over single steps the least error is that of narrow ranges, which clip a few sums. Over a stream a
clipped sum may be the one that matters, so no rule is the best for every net. Each is streamed over
validation and training data, emulated, and the one with the least error is taken. (Each layer by
the rule that is best for it alone was tried and was no better than one rule for all.)
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

from .npu_int8 import ROUNDED, Product, Weights, emulate, quantize, with_exact_weights

STREAMED = 6000  # steps of each of the two passes


def _whole(sums: Float64, importance: Float64, *, width: float) -> tuple[Float64, Float64]:  # noqa: ARG001
    return whole_range(sums, width)


RULES: dict[str, Callable[[Float64, Float64], tuple[Float64, Float64]]] = {
    "searched": search_ranges,
    **{
        f"{width:g} x the range": partial(_whole, width=width)
        for width in (1.0, 1.1, 1.25, 1.5, 2.0)
    },
}


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The products of each layer by the rule that was taken, and the streamed NRMSE of each rule:
    the larger one of recordings from the zero state, and of a state that is carried on.

    alone: the NRMSE from the zero state if one layer alone is in int8. parts: that of the layer
    with the most, if only its weights, inputs or sums are rounded.
    """

    products: Mapping[str, Product]
    rule: str
    errors: Mapping[str, float]
    alone: Mapping[str, float]
    parts: Mapping[str, float]

    @property
    def worst(self) -> str:
        return _largest(self.alone)


def choose(
    spec: ModelSpec, weights: Weights, calibration: Weights, recordings: Sequence[NDArray[Any]]
) -> Chosen:
    """calibration: see `quantize`. recordings: features (T, F) each, validation data first."""
    error_of = partial(_errors, spec, weights)
    candidates = [quantize(spec, weights, calibration, rule) for rule in RULES.values()]
    streams = passes(recordings)
    errors = np.max([error_of(candidates, one) for one in streams], axis=0)
    best = int(np.argmin(errors))
    measured = dict(zip(RULES, errors.tolist(), strict=True))
    products = candidates[best]
    alone = {name: float(error_of([{name: p}], streams[0])[0]) for name, p in products.items()}
    worst = _largest(alone)
    product = {worst: products[worst]}
    exact = with_exact_weights(spec, weights, product)
    ways = {"weights": (product, ()), **{part: (exact, (part,)) for part in ROUNDED}}
    parts = {p: float(error_of([one], streams[0], how)[0]) for p, (one, how) in ways.items()}
    return Chosen(products, list(RULES)[best], measured, alone, parts)


def _largest(errors: Mapping[str, float]) -> str:
    return max(errors, key=lambda name: errors[name])


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
    values: Sequence[str] = ROUNDED,
) -> Float64:
    """(candidates,) NRMSE over all steps, each recording from the zero state. values: `emulate`."""
    lengths = np.array([len(x) for x in recordings])
    xs = np.zeros((len(recordings), lengths.max(), recordings[0].shape[1]))
    for n, x in enumerate(recordings):
        xs[n, : len(x)] = x
    real = np.arange(xs.shape[1]) < lengths[:, None]
    right = np.concatenate([Reference(spec, weights).run(x) for x in recordings])
    found = emulate(spec, weights, candidates, xs, values)[:, real]
    rms: Float64 = np.sqrt(((found - right) ** 2).mean(axis=(1, 2)))
    return rms / (right.std() or 1.0)
