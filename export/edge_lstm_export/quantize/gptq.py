"""Rounds a matrix so that its products change least.

GPTQ: Frantar et al. 2022, arXiv 2210.17323.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
DAMPING = 1e-3


def gptq(
    W: Float64,
    v: Float64,
    step: Float64,
    exact: Float64 | None = None,
    fixed: NDArray[np.bool_] | None = None,
) -> Float64:
    """W: (inputs, outputs) -> the same on the grid of `step`, so that v @ W changes least.

    v: (N, inputs), the vectors that W is multiplied with. step: (outputs,) or (inputs, outputs).
    exact: (N, inputs), if v are these, rounded. v @ the result is then near exact @ W, but for a
    constant, which a bias can add.
    fixed: (inputs, outputs), which weights stay as they are. They are on the grid already.

    One input is rounded after the other. Its error is handed on to those that are still to come,
    weighted by the second moments of v.
    """
    if exact is not None:
        centred = v - v.mean(axis=0)
        error = (exact - v) @ W
        W = W + np.linalg.solve(
            _moments(centred), centred.T @ (error - error.mean(axis=0)) / len(v)
        )
    moments = _moments(v)
    # The inputs that matter most are rounded first, while others can still make up for it.
    order = np.argsort(-np.diag(moments))
    factor = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
    steps = np.broadcast_to(step, W.shape)
    rest = W[order].copy()
    rounded = np.empty_like(W)
    for n, row in enumerate(order):
        rounded[row] = steps[row] * np.clip(np.rint(rest[n] / steps[row]), -127, 127)
        if fixed is not None:
            rounded[row] = np.where(fixed[row], W[row], rounded[row])
        error = (rest[n] - rounded[row]) / factor[n, n]
        rest[n + 1 :] -= np.outer(factor[n, n + 1 :], error)
    return rounded


def made_up(W: Float64, v: Float64, exact: Float64) -> Float64:
    """The W for which v @ W is nearest to exact @ (the given W), but for a constant.

    W: (inputs, outputs). v, exact: (N, inputs).
    """
    centred = v - v.mean(axis=0)
    error = (exact - v) @ W
    change: Float64 = np.linalg.solve(_moments(centred), centred.T @ (error - error.mean(axis=0)))
    return W + change / len(v)


def _moments(v: Float64) -> Float64:
    moments: Float64 = v.T @ v / len(v)
    moments += DAMPING * max(np.trace(moments) / len(moments), 1e-9) * np.eye(len(moments))
    return moments
