"""Rounds a matrix so that its products change least.

GPTQ: Frantar et al. 2022, arXiv 2210.17323.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
DAMPING = 1e-3


def gptq(W: Float64, v: Float64, step: Float64) -> Float64:
    """W: (inputs, outputs) -> the same on the grid of `step`, so that v @ W changes least.

    v: (N, inputs), the vectors that W is multiplied with. step: (outputs,) or (inputs, outputs).

    One input is rounded after the other. Its error is handed on to those that are still to come,
    weighted by the second moments of v.
    """
    moments = v.T @ v / len(v)
    moments += DAMPING * max(np.trace(moments) / len(moments), 1e-9) * np.eye(len(moments))
    # The inputs that matter most are rounded first, while others can still make up for it.
    order = np.argsort(-np.diag(moments))
    factor = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
    steps = np.broadcast_to(step, W.shape)
    rest = W[order].copy()
    rounded = np.empty_like(W)
    for n, row in enumerate(order):
        rounded[row] = steps[row] * np.clip(np.rint(rest[n] / steps[row]), -127, 127)
        error = (rest[n] - rounded[row]) / factor[n, n]
        rest[n + 1 :] -= np.outer(factor[n, n + 1 :], error)
    return rounded
