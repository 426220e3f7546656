"""Where the NPU's int8 cell rounds, and how wide its steps are: shared by the fine-tuning and the export. See docs/int8.md.

Everything int8 but the weights lies on one grid: 1/127 apart, from -128/127 to 1. What is no such number by nature is divided by a scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.backends.reference import sigmoid
from edge_lstm_runtime.layers.layout import reorder

Float64 = NDArray[np.float64]
ORDER = "ifog"  # of the columns: the three sigmoids side by side
X_MARGIN = 1.25  # of the largest feature of the calibration set: beyond it x is clipped
WIDTHS = np.arange(0.4, 1.11, 0.1)  # of the half range of a sum, and
SHIFTS = (-0.3, -0.15, 0.0, 0.15, 0.3)  # of its centre: what the search tries


def on_grid(values: Float64) -> Float64:
    rounded: Float64 = np.clip(np.rint(127 * values), -128, 127) / 127
    return rounded


def input_range(x: NDArray[Any]) -> Float64:
    """x: (N, F) calibration features -> (F,): the value that the largest int8 stands for."""
    largest: Float64 = X_MARGIN * np.maximum(np.abs(x.astype(np.float64)).max(axis=0), 1e-3)
    return largest


def input_parts(features: int) -> int:
    """Channels for each feature: about 30 for all of them cost little beside H, and more than 16 for one gain nothing."""
    return min(16, max(2, 30 // features))


def layer_sums(
    weights: Mapping[str, NDArray[np.float32]], layer: int, inputs: Float64, h: Float64, c: Float64
) -> tuple[Float64, Float64, Float64]:
    """One step of a layer: the gates' sums, the importance of each (N, 4 H), in ORDER, and the new h (N, H).

    inputs (N, F or H), h and c (N, H): before the step. Importance: the squared derivatives of the new c by the sums of i, f and g, and
    of the new h by that of o.
    """
    H = h.shape[1]
    W_x, W_h, b = (
        reorder(weights[f"layer{layer}.{name}"].astype(np.float64), ORDER)
        for name in ("W_x", "W_h", "b")
    )
    sums = inputs @ W_x + h @ W_h + b
    i, f, o, g = (
        sigmoid(sums[:, :H]),
        sigmoid(sums[:, H : 2 * H]),
        sigmoid(sums[:, 2 * H : 3 * H]),
        np.tanh(sums[:, 3 * H :]),
    )
    tanh_c = np.tanh(f * c + i * g)
    slopes = np.concatenate(
        [g * i * (1 - i), c * f * (1 - f), tanh_c * o * (1 - o), i * (1 - g * g)], axis=1
    )
    return sums, slopes**2 + 1e-8, o * tanh_c


def search_ranges(sums: Float64, importance: Float64) -> tuple[Float64, Float64]:
    """The scale and the centre of each column with the least squared error of rounding and clipping. (N, 4 H) each -> (4 H,) each."""
    low, high = sums.min(axis=0), sums.max(axis=0)
    half, middle = np.maximum((high - low) / 2, 1e-3), (high + low) / 2
    least = np.full(len(half), np.inf)
    scale, centre = half.copy(), middle.copy()
    for width in WIDTHS:
        for shift in SHIFTS:
            s, m = half * width, middle + half * shift
            error = (importance * (on_grid((sums - m) / s) * s + m - sums) ** 2).mean(axis=0)
            better = error < least
            least[better], scale[better], centre[better] = error[better], s[better], m[better]
    return scale, centre
