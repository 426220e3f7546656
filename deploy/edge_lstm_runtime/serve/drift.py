"""How far the inputs of now are from those of the training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..inputs import Inputs
from ..inputs.channels import Channels

WINDOW = 1000  # samples: the weight of a sample falls to 1/e behind so many others


class Drift:
    """Moving mean and deviation of each channel, beside those of the training.

    The weights are those of an exponential window, whose sum grows from 0 to 1. So the first
    samples count as much as they should (Adam's correction of the bias). A channel of steps of
    time, of times or on a logarithmic scale has no such statistics.
    """

    def __init__(self, inputs: Inputs):
        self._names: list[str] = []
        if not isinstance(inputs, Channels):
            return
        special = {inputs.elapsed, inputs.clock, *inputs.log_units}
        places = [k for k, name in enumerate(inputs.names) if name not in special]
        self._names = [inputs.names[k] for k in places]
        self._places = places
        self._mean = np.array(inputs.mean)[places]
        self._std = np.array(inputs.std)[places]
        self._sums = np.zeros((3, len(places)))  # of weights, values, squares, in training units

    def take(self, xs: NDArray[np.float64]) -> None:
        """xs: (n, C) raw units, NaN for a missing value."""
        if not self._names:
            return
        z = (xs[:, self._places] - self._mean) / self._std
        weights = np.exp(-np.arange(len(z))[::-1] / WINDOW)[:, None] / WINDOW
        known = ~np.isnan(z)
        z = np.where(known, np.clip(z, -1e6, 1e6), 0)
        sums = np.array([(weights * part).sum(axis=0) for part in (known, z, z * z)])
        self._sums = self._sums * np.exp(-len(z) / WINDOW) + sums

    def told(self) -> Iterator[tuple[str, float, float]]:
        """Channel, (moving mean - mean) / std, moving std / std. Channels without a value have
        none."""
        for k, name in enumerate(self._names):
            weight, total, squares = self._sums[:, k].tolist()
            if weight:
                mean = total / weight
                yield name, mean, max(squares / weight - mean * mean, 0.0) ** 0.5
