"""Training samples varied at random, so that a small data set doesn't teach what a sensor's calibration happened to be."""

from __future__ import annotations

import torch
from torch import Tensor

from .config import AugmentConfig


class Augment:
    """A batch's features with what [augment] asks for added: other values in every epoch, the same ones when it is resumed.

    channels: the first features are the channels' normalised values; those after them (masks) are left alone.
    """

    def __init__(self, config: AugmentConfig, channels: int, seed: int, device: torch.device):
        self._config, self._channels = config, channels
        self._generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, x: Tensor) -> Tensor:
        """x: (N, T, F) -> (N, T, F), a new tensor."""
        shift = torch.zeros_like(x)
        values = shift[..., : self._channels]
        if self._config.offset:
            values += self._config.offset * self._normal(values[:, :1])
        if self._config.noise:
            values += self._config.noise * self._normal(values)
        return x + shift

    def _normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self._generator, device=like.device, dtype=like.dtype)
