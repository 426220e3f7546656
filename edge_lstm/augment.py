"""Changes of the training sequences that leave their answers true, drawn anew in every epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from .config import AugmentConfig


def augment(x: Tensor, lengths: Tensor, channels: int, config: AugmentConfig) -> Tensor:
    """x: (N, T, F) normalised features; lengths: (N,) steps before the padding; channels: C, those of the F that are values, which are
    changed. Returns a new tensor; draws from PyTorch's global generator.

    The two masks are SpecAugment's (Park et al., 2019): one run of steps, one run of channels, set to 0, which is the mean.
    """
    values = x[..., :channels]
    if config.offset:
        values = values + config.offset * torch.randn(len(x), 1, 1).to(x)
    if config.noise:
        values = values + config.noise * torch.randn(values.shape).to(x)
    if config.mask_steps:
        values = values.masked_fill(_runs(lengths.cpu(), config.mask_steps, x.shape[1]).to(x.device)[:, :, None], 0)
    if config.mask_channels:
        runs = _runs(torch.full((len(x),), channels), config.mask_channels, channels)
        values = values.masked_fill(runs.to(x.device)[:, None, :], 0)
    return torch.cat([values, x[..., channels:]], dim=2)


def _runs(lengths: Tensor, share: float, width: int) -> Tensor:
    """(N, width) where a run lies: of 0 to share * length places, anywhere within the length."""
    count = (torch.rand(len(lengths)) * (share * lengths + 1)).floor()
    start = (torch.rand(len(lengths)) * (lengths - count + 1)).floor()
    places = torch.arange(width)
    return (places >= start[:, None]) & (places < (start + count)[:, None])
