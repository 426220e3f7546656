"""The error of a backend against the reference, defined once for every report and check."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """The largest error that still counts as right, by the maximum or by the NRMSE.

    limit: in units of the network's outputs for "max_abs", a ratio for "nrmse".

    >>> import edge_lstm_runtime as rt
    >>> rt.Tolerance("nrmse", 2e-3, "rounding to float16").limit
    0.002
    """

    metric: Literal["max_abs", "nrmse"]
    limit: float
    reason: str


# Their reasons: docs/backends.md, "What counts as right". Every net is given at least FLOAT32.
# A good model keeps FLOAT16 and INT8. Its own limits are measured at its export.
FLOAT32 = Tolerance(
    "max_abs", 1e-5, "float32 rounding over 1,000 carried steps, of the largest output or 1"
)
FLOAT16 = Tolerance("nrmse", 2e-3, "fp16 rounding of weights, activations and state")
INT8 = Tolerance("nrmse", 1e-2, "int8 rounding, as trained nets show it (docs/int8.md)")


def float32_tolerance(reference: NDArray[Any]) -> Tolerance:
    """FLOAT32, times the largest output if that is above 1, because rounding errors are relative.

    reference: (steps, O) the network's outputs.
    """
    return dataclasses.replace(
        FLOAT32, limit=FLOAT32.limit * max(1.0, float(np.abs(reference).max(initial=0.0)))
    )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The errors of outputs against the reference.

    max_abs, rmse: in units of the network's outputs. nrmse: rmse / standard deviation of the
    reference. worst: the (step, output) of max_abs.

    >>> import numpy as np, edge_lstm_runtime as rt
    >>> found = rt.compare(np.array([[1.0], [2.5]]), np.array([[1.0], [2.0]]))
    >>> found.max_abs, found.worst, found.nrmse > 0.1
    (0.5, (1, 0), True)
    >>> found.within(rt.Tolerance("max_abs", 0.6, "an example"))
    True
    >>> found.to_dict()["steps"]
    2
    """

    steps: int
    max_abs: float
    rmse: float
    nrmse: float
    worst: tuple[int, int]

    def within(self, tolerance: Tolerance) -> bool:
        """Whether the error that the tolerance is of is at most its limit. NaN is not."""
        return bool(getattr(self, tolerance.metric) <= tolerance.limit)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()
        }


def compare(
    outputs: NDArray[Any], reference: NDArray[np.float64], spread: float | None = None
) -> Comparison:
    """Both (steps, O). An output that is not finite makes every figure infinite.

    spread: the standard deviation for the NRMSE if these steps are a part of a longer stream. None
    for that of `reference`. Raises ValueError if the shapes differ.

    >>> import numpy as np, edge_lstm_runtime as rt
    >>> exact = np.array([[1.0], [2.0], [3.0]])
    >>> rt.compare(exact.astype(np.float32), exact).max_abs
    0.0
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
