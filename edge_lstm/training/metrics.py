"""The loss and the metrics of the validation split, after every epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from edge_lstm_runtime.model.spec import ModelSpec

from ..data.examples import at_steps
from ..data.recordings import Sequence
from ..data.windows import batches, padded, pieces
from ..network import CompactNet
from ..results.answers import stream
from ..tasks.base import task_of
from .losses import Loss

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Validation:
    """Whole sequences, in batches of similar lengths, shared out among the ranks.

    The figures are those of all ranks together.
    """

    def __init__(self, spec: ModelSpec, sequences: list[Sequence], loss: Loss, fabric: Fabric):
        self._spec = spec
        self._loss = loss
        self._fabric = fabric
        self._tally = task_of(spec).tally(spec, sequences)
        self._count = 0
        self._steps = 0
        self._batches: list[tuple[tuple[Tensor, ...], Tensor]] = []
        cut = pieces(spec, sequences)
        lengths = np.array([len(xs) for xs, _, _ in cut])
        for n, batch in enumerate(batches(lengths)):
            data = padded([cut[k] for k in batch], int(lengths[batch].max()))
            self._count += int(loss.counts(data).sum())
            self._steps += int(data.mask.sum())
            if n % fabric.world_size == fabric.global_rank:
                arrays = (data.x, data.y, data.mask, data.lengths - 1)
                tensors = tuple(torch.from_numpy(a).to(fabric.device) for a in arrays)
                self._batches.append((tensors, torch.from_numpy(data.lengths)))

    @torch.no_grad()
    def __call__(self, model: CompactNet) -> dict[str, float]:
        """val_loss and the task's metrics: errors as learned, or NRMSE of several targets."""
        model.eval()
        size = self._spec.output_size
        device = self._fabric.device
        total = torch.zeros((), dtype=torch.float64, device=device)
        self._tally.start(device)
        for (x, y, mask, last), lengths in self._batches:
            final = torch.zeros(len(x), size, device=device)
            for steps, outputs in stream(model, x, lengths):
                here = (last >= steps.start) & (last < steps.stop)
                rows = torch.nonzero(here)[:, 0]
                final[rows] = outputs[rows, last[rows] - steps.start]
                wanted = at_steps(y, steps)
                seen = mask[:, steps]
                if not self._loss.last_step:
                    total += self._loss(outputs, wanted, seen, last)
                self._tally.add_steps(outputs, wanted, seen)
            self._tally.add_last(final, y)
            if self._loss.last_step:
                total += self._loss(final[:, None], y, mask, torch.zeros_like(last))
        loss = float(self._sum(total)) / self._count
        return {"val_loss": loss, **self._tally.figures(loss, self._steps, self._sum)}

    def _sum(self, tensor: Tensor) -> Tensor:
        return cast(Tensor, self._fabric.all_reduce(tensor, reduce_op="sum"))
