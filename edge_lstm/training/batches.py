"""The training sequences on the device, shuffled there, and the batches of an epoch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..data.examples import Windows
from ..network import State
from .augment import Augment, Layout

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def seed_of(*parts: int) -> int:
    """One seed from (seed, epoch, rank, ...). A resumed run then needs only the epoch's number."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


class Batch(NamedTuple):
    """One rank's part of a batch: N sequences of T steps, on the device."""

    x: Tensor  # (N, T, F) float32
    y: Tensor  # as in `Examples`
    mask: Tensor  # (N, T) bool
    last: Tensor  # (N,) int64, each sequence's last step
    share: float | Tensor  # of the loss's sum
    begin: State | None = None  # the states to begin in; zero if None
    lengths: Tensor | None = None  # (N,) int64 on the CPU, for a net that reads both ways
    wanted: Tensor | None = None  # (N, T, O) a teacher's answers


class Batches:
    """What an epoch trains on.

    data: the training sequences. counts: (N,) how many terms of the loss each of them has.
    """

    def __init__(
        self,
        config: Config,
        spec: ModelSpec,
        data: Windows,
        counts: NDArray[np.int64],
        fabric: Fabric,
    ) -> None:
        self._config = config
        self._data = data
        self._counts = counts
        self._fabric = fabric
        self._inputs = spec.inputs
        self._both = spec.whole
        self._size = min(config.train.batch_size, len(data))  # memory is taken for so many
        self.even = bool((data.lengths == data.steps).all())  # all sequences of one length
        with warnings.catch_warnings():  # arrays of the cache can't be changed, and need not be
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            rows, y, known, starts, lengths = (
                torch.from_numpy(array).to(fabric.device)
                for array in (data.rows, data.y, data.known, data.starts, data.lengths)
            )
        self._rows = rows
        self._y = self._cut(y) if data.of_rows else y
        self._x = self._cut(rows)
        self._mask = self._cut(known)
        self._starts = starts
        self._lengths = lengths

    @property
    def sequences(self) -> int:
        return len(self._data)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return -(-self.sequences // self._size)

    def let_go(self) -> None:
        """They are not needed for now, and may leave the memory if they are in the cache."""
        self._data.let_go()

    def largest(self) -> float:
        """The largest magnitude of a feature, in standard deviations."""
        low, high = self._rows.aminmax()
        return float(torch.maximum(-low, high))

    def _cut(self, rows: Tensor) -> Tensor:
        """rows: (L, ...) -> (L - T + 1, T, ...), the window that begins at each row, a view."""
        shape = (len(rows) - self._data.steps + 1, self._data.steps, *rows.shape[1:])
        return rows.as_strided(shape, (rows.stride(0), *rows.stride()))

    def _taken(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x, y, mask and the last step of some sequences. index: (N,)."""
        first = self._starts[index]
        y = self._y.index_select(0, first if self._data.of_rows else index)
        x = self._x.index_select(0, first)
        return x, y, self._mask.index_select(0, first), self._lengths[index] - 1

    def epoch(self, epoch: int) -> Iterator[tuple[Batch, int, Tensor | None]]:
        """Gives each batch, the number of the loss's terms in it over all ranks, and which of its
        sequences begin in a carried state (as `keep` of `carried`).

        Seeds PyTorch's own generator for the epoch's dropout.
        """
        seed = self._config.train.seed
        device = self._fabric.device
        rank = self._fabric.global_rank
        world = self._fabric.world_size
        n = self.sequences
        size = self._size
        host = self._order(epoch).numpy()
        torch.manual_seed(seed_of(seed, epoch, rank))
        starts = range(0, n, size)
        totals = np.add.reduceat(self._counts[host], starts)
        longest = np.maximum.reduceat(self._data.lengths[host], starts)
        order = torch.from_numpy(host).to(device)
        # If the net has a teacher, the teacher's states are carried for the same sequences.
        share_carried = 0.0 if self._both else self._config.train.share_carried
        draws = torch.Generator().manual_seed(seed_of(seed, epoch, 0, 1))  # the same of any rank
        drawn = torch.rand(len(starts), size, generator=draws)
        drawn = torch.nn.functional.pad(drawn, (0, max(0, world - size)), value=1.0)
        chosen = (drawn[:, rank::world] < share_carried).to(device, torch.float32)
        augment = None
        if self._config.augment is not None:
            own = seed_of(seed, epoch, rank, 2)
            assert isinstance(self._inputs, Channels)  # a text has no [augment]
            augment = Augment(self._config.augment, Layout.of(self._inputs), own, device)
        for k, start in enumerate(starts):
            rows = slice(start + rank, start + size, world)
            index = order[rows]
            share = world / int(totals[k])
            if not len(index):  # a rank without a sequence still takes part in the exchange
                index = order[:1]
                share = 0.0
            x, y, mask, last = self._taken(index)
            lengths = None
            if not self.even:
                steps = int(longest[k])
                if self._both:
                    own_rows = host[rows] if len(host[rows]) else host[:1]
                    lengths = torch.from_numpy(self._data.lengths[own_rows].clip(max=steps))
                x = x[:, :steps]
                mask = mask[:, :steps]
                last = last.clamp(max=steps - 1)  # only of the sequence that fills an empty rank
                y = y if y.dim() == 1 else y[:, :steps]
            if augment is not None:
                x = augment(x, last + 1)
            keep = chosen[k - 1, : len(index)] if share_carried else None
            yield Batch(x, y, mask, last, share, lengths=lengths), int(totals[k]), keep

    def _order(self, epoch: int) -> Tensor:
        """(N,) int64. A text is read in order, `batch_size` streams of it side by side."""
        if self._config.model.reads_characters:
            return torch.arange(self.sequences)
        generator = torch.Generator().manual_seed(seed_of(self._config.train.seed, epoch))
        return torch.randperm(self.sequences, generator=generator)


def carried(left: State | None, keep: Tensor | None) -> State | None:
    """The states in which a batch begins.

    left: the states after the batch before. keep: (N,) 1 if a sequence begins in one of them, 0 if
    it begins at zero. None stands for zero everywhere.
    """
    if not left or keep is None or len(next(iter(left.values()))) < len(keep):
        return None
    return {name: part[: len(keep)] * keep[:, None] for name, part in left.items()}
