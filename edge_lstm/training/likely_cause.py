"""Why a loss is not finite, in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..config.sections import TrainConfig


def likely_cause(config: TrainConfig, largest: float, norms: NDArray[np.float64]) -> str:
    """largest: magnitude of a feature, in standard deviations. norms: of the gradients in the
    epoch's steps before it."""
    before = norms[-20:]
    if largest > 100:
        return (
            f"an input is {largest:.3g} standard deviations from the training mean: "
            "look for wrong values in the data"
        )
    if len(before) and before.max() > 10 * config.clip_norm:
        return (
            f"the gradients grew to {before.max():.3g} before: "
            f"lower learning_rate (it is {config.learning_rate:g}) or clip_norm"
        )
    why = f"the learning rate is too high: try learning_rate = {config.learning_rate / 10:g}"
    return why + (", or precision = 'fp32'" if config.precision == "bf16" else "")
