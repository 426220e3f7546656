"""Random variations of the training samples.

A small data set then doesn't teach the accidents of one sensor's calibration.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..config.common import AugmentConfig


class Augment:
    """Changes a batch's features as [augment] asks, in another way in each epoch.

    An epoch that is resumed is changed in the same way.

    channels: C. The first C features are the channels' normalized values. If there are others, they
    say which of these are missing, 1 if so. They are left alone, and a missing value stays 0.
    """

    def __init__(self, config: AugmentConfig, channels: int, seed: int, device: torch.device):
        self._config = config
        self._channels = channels
        self._generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x: (N, T, F); lengths: (N,) steps before the padding -> (N, T, F), a new tensor.

        The two masks are SpecAugment's (Park et al. 2019, arXiv 1904.08779): one run of steps and
        one of channels are set to 0, the mean.
        """
        config = self._config
        count, steps, _ = x.shape
        values = x[..., : self._channels]
        rest = x[..., self._channels :]
        for deviation, shape in (
            (config.offset, (count, 1, self._channels)),
            (config.level, (count, 1, 1)),
            (config.noise, values.shape),
        ):
            if deviation:
                values = values + deviation * torch.randn(
                    shape, generator=self._generator, device=x.device, dtype=x.dtype
                )
        if config.mask_steps:
            values = values.masked_fill(
                self._runs(lengths, config.mask_steps, steps)[:, :, None], 0
            )
        if config.mask_channels:
            runs = self._runs(
                torch.full_like(lengths, self._channels), config.mask_channels, self._channels
            )
            values = values.masked_fill(runs[:, None, :], 0)
        if rest.shape[2]:
            values = values.masked_fill(rest != 0, 0)
        return torch.cat([values, rest], dim=2)

    def _runs(self, lengths: Tensor, share: float, width: int) -> Tensor:
        """(N, width) bool, true in one run of 0 to share * length places anywhere in the length."""
        draws = torch.rand(2, len(lengths), generator=self._generator, device=lengths.device)
        count = (draws[0] * ((share * lengths).floor() + 1)).floor()
        start = (draws[1] * (lengths - count + 1)).floor()
        places = torch.arange(width, device=lengths.device)
        return (places >= start[:, None]) & (places < (start + count)[:, None])
