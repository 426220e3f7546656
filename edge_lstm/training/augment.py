"""Random variations of the training samples.

A small data set then doesn't teach the accidents of one sensor's calibration.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from edge_lstm_runtime.inputs.channels import Channels

from ..config.common import AugmentConfig


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which features are made of which channels.

    channels  C
    levels    of each feature that is a channel's normalized value, the first ones: its channel
    derived   of each feature that follows, of a transform: its channel, None for a calendar's

    If there are C more, they say which channels are missing, 1 if so.
    """

    channels: int
    levels: tuple[int, ...]
    derived: tuple[int | None, ...] = ()

    @classmethod
    def of(cls, inputs: Channels) -> Layout:
        derived: list[int | None] = []
        for transform in inputs.derived:
            own = inputs.places(transform.sources)
            derived += own or [None] * len(transform.names)
        return cls(inputs.size, tuple(inputs.kept), tuple(derived))


class Augment:
    """Changes a batch's features as [augment] asks, in another way in each epoch.

    An epoch that is resumed is changed in the same way.

    An offset and a level are of channels, and what is derived of them stays as it is: a difference
    has no offset. Noise is of every such feature. What is hidden is the channels and what is
    derived of them. A calendar is left alone, because a time is always known. So are the features
    that say what is missing, and the level of a missing value stays 0.
    """

    def __init__(self, config: AugmentConfig, layout: Layout, seed: int, device: torch.device):
        self._config = config
        self._layout = layout
        of = [*layout.levels, *layout.derived]
        self._of = [channel for channel in of if channel is not None]
        changing = [k for k, channel in enumerate(of) if channel is not None]
        self._changing = torch.tensor(changing, device=device)
        self._generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x: (N, T, F); lengths: (N,) steps before the padding -> (N, T, F), a new tensor.

        The two masks are SpecAugment's (Park et al. 2019, arXiv 1904.08779): one run of steps and
        one of channels are set to 0, the mean.
        """
        config = self._config
        count, steps, _ = x.shape
        channels = self._layout.channels
        kept = list(self._layout.levels)
        levels = slice(len(kept))
        values = x[..., self._changing]

        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=self._generator, device=x.device, dtype=x.dtype)

        if config.offset:
            values[..., levels] += config.offset * drawn(count, 1, channels)[..., kept]
        if config.level:
            values[..., levels] += config.level * drawn(count, 1, 1)
        if config.noise:
            values += config.noise * drawn(*values.shape)
        if config.mask_steps:
            hidden = self._runs(lengths, config.mask_steps, steps)
            values.masked_fill_(hidden[:, :, None], 0)
        if config.mask_channels:
            hidden = self._runs(torch.full_like(lengths, channels), config.mask_channels, channels)
            values.masked_fill_(hidden[:, None, self._of], 0)
        missing = x[..., len(kept) + len(self._layout.derived) :]
        if missing.shape[2]:
            values[..., levels].masked_fill_(missing[..., kept] != 0, 0)
        changed = x.clone()
        changed[..., self._changing] = values
        return changed

    def _runs(self, lengths: Tensor, share: float, width: int) -> Tensor:
        """(N, width) bool, true in one run of 0 to share * length places anywhere in the length."""
        draws = torch.rand(2, len(lengths), generator=self._generator, device=lengths.device)
        count = (draws[0] * ((share * lengths).floor() + 1)).floor()
        start = (draws[1] * (lengths - count + 1)).floor()
        places = torch.arange(width, device=lengths.device)
        return (places >= start[:, None]) & (places < (start + count)[:, None])
