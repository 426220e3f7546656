"""How far a backend is from the reference, in one definition for every report and every check."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """The largest error that still counts as right: of the maximum ("max_abs") or of the NRMSE ("nrmse")."""

    metric: Literal["max_abs", "nrmse"]
    limit: float
    reason: str


# Why these: docs/backends.md, "What counts as right". FLOAT32 is the least that any net is given,
# and all that a bundle without a tolerance of its own is given. FLOAT16 and INT8 are what a good
# model keeps to; what it is held to is measured at its export.
FLOAT32 = Tolerance("max_abs", 1e-5, "float32 rounding over 1,000 carried steps, of the largest output or 1")
FLOAT16 = Tolerance("nrmse", 2e-3, "fp16 rounding of weights, activations and state")
INT8 = Tolerance("nrmse", 1e-2, "int8 rounding, as trained nets show it (docs/int8.md)")


def float32_tolerance(reference: NDArray[Any]) -> Tolerance:
    """Rounding is a share of what is rounded: FLOAT32 where no output is beyond 1, as much more as the largest of them is.

    reference: (steps, O) the network's outputs.
    """
    return dataclasses.replace(FLOAT32, limit=FLOAT32.limit * max(1.0, float(np.abs(reference).max(initial=0.0))))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """max_abs, rmse: in units of the network's outputs; nrmse: rmse / standard deviation of the reference; worst: (step, output)."""

    steps: int
    max_abs: float
    rmse: float
    nrmse: float
    worst: tuple[int, int]

    def within(self, tolerance: Tolerance) -> bool:
        return bool(getattr(self, tolerance.metric) <= tolerance.limit)  # NaN is not within

    def to_dict(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


def compare(outputs: NDArray[Any], reference: NDArray[np.float64], spread: float | None = None) -> Comparison:
    """Both (steps, O). An output that is not finite makes every figure infinite.

    spread: what the NRMSE is relative to, where these steps are a part of a longer stream; unless given the standard deviation of
    `reference`.
    """
    if outputs.shape != reference.shape:
        raise ValueError(f"outputs {outputs.shape} and reference {reference.shape} differ in shape")
    error = np.abs(outputs.astype(np.float64) - reference)
    error[~np.isfinite(error)] = math.inf
    step, output = np.unravel_index(int(error.argmax()), error.shape)
    rmse = math.sqrt(float(np.mean(error**2)))
    spread = float(reference.std()) if spread is None else spread
    nrmse = rmse / spread if spread > 0 else (0.0 if rmse == 0 else math.inf)
    return Comparison(len(outputs), float(error.max()), rmse, nrmse, (int(step), int(output)))
