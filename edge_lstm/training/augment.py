"""Training samples varied at random, so that a small data set doesn't teach what a sensor's calibration happened to be."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config.common import AugmentConfig


class Augment:
    """A batch's features changed as [augment] asks: otherwise in every epoch, the same way when that is resumed.

    channels: C; the first features are the channels' normalised values, and those after them (which are missing) are left alone.
    """

    def __init__(self, config: AugmentConfig, channels: int, seed: int, device: torch.device):
        self._config, self._channels = config, channels
        self._generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x: (N, T, F); lengths: (N,) steps before the padding -> (N, T, F), a new tensor.

        The two masks are SpecAugment's (Park et al. 2019, arXiv 1904.08779): one run of steps, one of channels, at 0, which is the mean.
        """
        config, (count, steps, _) = self._config, x.shape
        values, rest = x[..., : self._channels], x[..., self._channels :]
        for deviation, shape in (
            (config.offset, (count, 1, self._channels)),
            (config.level, (count, 1, 1)),
            (config.noise, values.shape),
        ):
            if deviation:
                values = values + deviation * torch.randn(shape, generator=self._generator, device=x.device, dtype=x.dtype)
        if config.mask_steps:
            values = values.masked_fill(self._runs(lengths, config.mask_steps, steps)[:, :, None], 0)
        if config.mask_channels:
            runs = self._runs(torch.full_like(lengths, self._channels), config.mask_channels, self._channels)
            values = values.masked_fill(runs[:, None, :], 0)
        return torch.cat([values, rest], dim=2)

    def _runs(self, lengths: Tensor, share: float, width: int) -> Tensor:
        """(N, width) where a run lies: of 0 to share * length places, anywhere within the length."""
        draws = torch.rand(2, len(lengths), generator=self._generator, device=lengths.device)
        count = (draws[0] * ((share * lengths).floor() + 1)).floor()
        start = (draws[1] * (lengths - count + 1)).floor()
        places = torch.arange(width, device=lengths.device)
        return (places >= start[:, None]) & (places < (start + count)[:, None])
