"""Samples that look like a bundle's golden ones and are none of them.

Each channel is a noise of its own, in blocks, inside of the training's range. Its mean and its
deviation change from block to block as much as they do in the golden samples, the deviations of all
channels together, for a machine at rest is quiet in all of them. Its correlation from step to step
is that of the golden samples. So a model's states and answers go where they go on real data, on
which the tolerances were measured, and nobody's recording is in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.inputs import Inputs
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.characters import Characters
from edge_lstm_runtime.verify.golden import Lengths, sequences

Float64 = NDArray[np.float64]
BLOCK = 50  # steps
SMOOTHEST = 0.999  # of the correlation: a channel that never changes would have 1


def generated(inputs: Inputs, x: Float64, lengths: Lengths, seed: int) -> Float64:
    """x: (steps, C) raw units, the golden samples -> as many others, always the same of a seed."""
    rng = np.random.default_rng(seed)
    if isinstance(inputs, Characters):
        return rng.integers(len(inputs.characters), size=x.shape).astype(np.float64)
    low, high = _range(inputs, x)
    levels = rng.standard_normal(-(-len(x) // BLOCK))  # of all channels, how lively a block is
    columns = [_channel(x[:, k], (low[k], high[k]), levels, rng) for k in range(x.shape[1])]
    made = np.stack(columns, axis=1)
    if isinstance(inputs, Channels):
        _set_times(inputs, made, lengths, (low, high), rng)
        if inputs.fills_gaps:
            made[rng.random(x.shape) < np.isnan(x).mean(axis=0)] = np.nan
    return made


def _range(inputs: Inputs, x: Float64) -> tuple[Float64, Float64]:
    """(C,) each: the training's range, that of x if the bundle doesn't know it."""
    if isinstance(inputs, Channels) and inputs.low:
        return np.array(inputs.low), np.array(inputs.high)
    known = np.where(np.isnan(x), np.inf, x), np.where(np.isnan(x), -np.inf, x)
    low, high = known[0].min(axis=0), known[1].max(axis=0)
    nothing = low > high
    return np.where(nothing, 0.0, low), np.where(nothing, 0.0, high)


def _channel(
    values: Float64, limits: tuple[float, float], levels: Float64, rng: np.random.Generator
) -> Float64:
    """values: (steps,), levels: (blocks,) -> (steps,) of a first-order autoregression."""
    steps = len(values)
    filled = values[~np.isnan(values)]
    if not len(filled):
        filled = np.array([limits[0]])
    blocks = [filled[k : k + BLOCK] for k in range(0, len(filled), BLOCK)]
    means = np.array([block.mean() for block in blocks])
    apart = np.concatenate([block - mean for block, mean in zip(blocks, means, strict=True)])
    power = float(apart @ apart)
    correlation = float(apart[1:] @ apart[:-1]) / power if power > 0 else 0.0
    correlation = min(max(correlation, 0.0), SMOOTHEST)
    walk = np.empty(steps)
    now = rng.standard_normal()
    for k, shock in enumerate(rng.standard_normal(steps) * np.sqrt(1 - correlation**2)):
        now = correlation * now + shock
        walk[k] = now
    deviations = np.array([block.std() for block in blocks])
    lively = np.log(np.maximum(deviations, 1e-3 * deviations.max() or 1.0))
    deviation = np.exp(lively.mean() + lively.std() * levels) if power > 0 else 0 * levels
    mean = means.mean() + means.std() * rng.standard_normal(len(levels))
    made: Float64 = np.repeat(mean, BLOCK)[:steps] + np.repeat(deviation, BLOCK)[:steps] * walk
    if (filled == np.rint(filled)).all():  # numbers of an embedding, states of a switch
        return np.clip(np.rint(made), np.ceil(limits[0]), np.floor(limits[1]))
    return np.clip(made, *limits)


def _set_times(
    inputs: Channels,
    made: Float64,
    lengths: Lengths,
    limits: tuple[Float64, Float64],
    rng: np.random.Generator,
) -> None:
    """Steps of time begin with 0, and a clock goes on, in each sequence."""
    parts = sequences(made, lengths)
    for name in filter(None, (inputs.dt, inputs.clock)):
        (place,) = inputs.places((name,))
        for part in parts:
            if name == inputs.dt:
                part[0, place] = 0.0
            else:
                times = rng.uniform(limits[0][place], limits[1][place], len(part))
                part[:, place] = np.sort(np.rint(times))
