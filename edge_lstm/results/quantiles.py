"""How good quantiles are: their loss, and the share of the values within each interval.

An interval lies between two quantiles q and 1 - q. Its nominal share is 1 - 2 q.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Float64
from .words import ahead, percent


def intervals(quantiles: tuple[float, ...]) -> list[tuple[int, int, float]]:
    """The places of both ends of each, and its nominal share, the widest first."""
    found = []
    for low, q in enumerate(quantiles):
        for high, other in enumerate(quantiles):
            if q < other and math.isclose(q + other, 1):
                found.append((low, high, round(other - q, 9)))
    return found


def widths(quantiles: tuple[float, ...], outputs: Float64, wanted: Float64) -> tuple[float, ...]:
    """For each output, the factor on its distance from the median, see `Forecast.widths`.

    With it, so many of these values are within each interval as its nominal share says. A quantile
    without a counterpart keeps its distance. This is conformalized quantile regression (Romano et
    al. 2019, arXiv 1905.03222) with a score that is relative to the interval.

    outputs, wanted: (n, O) of the network, and the right ones, NaN if unknown.
    """
    levels = len(quantiles)
    made = outputs.reshape(len(outputs), -1, levels)
    median = made[..., quantiles.index(0.5)]
    error = wanted[:, ::levels] - median
    found = np.ones((error.shape[1], levels))
    for low, high, share in intervals(quantiles):
        ends = made[..., [low, high]] - median[..., None]
        room = np.where(error < 0, -ends.min(axis=-1), ends.max(axis=-1))
        for k in range(error.shape[1]):
            found[k, [low, high]] = _factor(np.abs(error[:, k]), room[:, k], share)
    return tuple(found.ravel().tolist())


def _factor(error: Float64, room: Float64, share: float) -> float:
    """By which `room` must grow so that a `share` of the errors has room. (n,) both."""
    known = ~np.isnan(error)
    if not known.any():
        return 1.0
    needed = np.full(int(known.sum()), np.inf)
    np.divide(error[known], room[known], out=needed, where=room[known] > 0)
    # The share of the values to come, of which these and one more are a sample.
    rank = math.ceil(share * (len(needed) + 1))
    factor = float(np.sort(needed)[min(rank, len(needed)) - 1])
    return factor if math.isfinite(factor) else 1.0


def with_quantiles(
    spec: ModelSpec, found: dict[str, Any], answer: Float64, truth: Float64
) -> dict[str, Any]:
    """`found` of `numbers.errors` with pinball and coverage in every part.

    answer, truth: (steps, O), raw units. pinball is the mean over the quantiles, in raw units.
    coverage: nominal share -> the share of the values within. Points have neither: None and {}.
    """
    shape = (len(answer), len(spec.answer.ahead), len(spec.answer.targets), spec.answer.levels)
    made = answer.reshape(shape)
    right = truth.reshape(shape)
    _add(spec, found, made, right)
    for k, step in enumerate(found["per_step"]):
        _add(spec, step, made[:, [k]], right[:, [k]])
    return found


def _add(spec: ModelSpec, found: dict[str, Any], made: Float64, right: Float64) -> None:
    each = found["per_target"]
    for j, target in enumerate(spec.answer.targets):
        each[target] |= _figures(spec.answer.quantiles, made[:, :, j], right[:, :, j])
    found |= _figures(spec.answer.quantiles, made, right)
    if len(each) > 1:  # in units of their own
        found["pinball"] = None


def _figures(quantiles: tuple[float, ...], made: Float64, right: Float64) -> dict[str, Any]:
    """made, right: (..., quantiles). A forecast of one value for all of them has no intervals."""
    if (made == made[..., :1]).all():
        return {"pinball": None, "coverage": {}}
    error = right - made
    levels = np.array(quantiles)
    pinball = np.maximum(levels * error, (levels - 1) * error).mean()
    coverage = {}
    for low, high, share in intervals(quantiles):
        within = (made[..., low] <= right[..., 0]) & (right[..., 0] <= made[..., high])
        coverage[f"{share:g}"] = float(within.mean())
    return {"pinball": float(pinball), "coverage": coverage}


def sentences(spec: ModelSpec, found: dict[str, Any]) -> list[str]:
    """For each interval of each target the nominal share, and the share of the values within."""
    lines = []
    apart = isinstance(spec.answer.horizon, tuple)
    for target, figures in found["per_target"].items():
        of = "" if len(found["per_target"]) == 1 else f"{target}: "
        for share, within in figures["coverage"].items():
            steps = []
            for step in found["per_step"] if apart else ():
                here = step["per_target"][target]["coverage"][share]
                steps.append(f"{ahead(step['ahead'])}: {percent(here)}")
            each = f" ({', '.join(steps)})" if steps else ""
            interval = f"the {100 * float(share):g} % interval{each}"
            lines.append(f"{of}{percent(within)} of the values are within {interval}.")
    return lines
