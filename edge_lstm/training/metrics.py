"""The loss and the metrics of the validation split, after every epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Sequence
from ..data.windows import batches, examples, truth_of
from ..network import CompactLSTM
from ..results.answers import stream
from ..results.metrics import spread
from .losses import Loss

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Validation:
    """Whole sequences, in batches of similar lengths, shared out among the ranks; the figures are those of all ranks together."""

    def __init__(self, spec: ModelSpec, sequences: list[Sequence], loss: Loss, fabric: Fabric):
        self._spec, self._loss, self._fabric = spec, loss, fabric
        data = examples(spec, sequences)
        self._count = int(loss.counts(data).sum())
        self._steps = int(data.mask.sum())
        self._spread = None  # of each target, where several have no common unit
        if len(spec.targets) > 1:
            truth = np.concatenate([truth_of(spec, s) for s in sequences])
            self._spread = spread(spec, truth[np.isfinite(truth).all(axis=1)])
        self._batches: list[tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]] = []
        for batch in batches(data.lengths)[fabric.global_rank :: fabric.world_size]:
            longest = int(data.lengths[batch].max())
            y = data.y[batch] if loss.classify else data.y[batch, :longest]
            arrays = (data.x[batch, :longest], y, data.mask[batch, :longest], data.lengths[batch] - 1)
            tensors = tuple(torch.from_numpy(np.ascontiguousarray(a)).to(fabric.device) for a in arrays)
            self._batches.append((tensors, torch.from_numpy(data.lengths[batch])))  # type: ignore[arg-type]

    @torch.no_grad()
    def __call__(self, model: CompactLSTM) -> dict[str, float]:
        """val_loss and the task's metrics; errors in raw units, of several targets the NRMSE."""
        model.eval()
        size, device = self._spec.output_size, self._fabric.device
        total = torch.zeros((), dtype=torch.float64, device=device)
        confusion = torch.zeros(size, size, dtype=torch.int64, device=device)
        errors = torch.zeros(2, size, dtype=torch.float64, device=device)  # absolute, squared
        for (x, y, mask, last), lengths in self._batches:
            final = torch.zeros(len(x), size, device=device)
            for steps, outputs in stream(model, x, lengths):
                seen = mask[:, steps]
                if self._loss.classify:
                    here = (last >= steps.start) & (last < steps.stop)
                    rows = torch.nonzero(here)[:, 0]
                    final[rows] = outputs[rows, last[rows] - steps.start]
                    if not self._loss.last_step:
                        total += self._loss(outputs, y, seen, last)
                elif self._loss.language:
                    total += self._loss(outputs, y[:, steps], seen, last)
                else:
                    total += self._loss(outputs, y[:, steps], seen, last)
                    error = torch.where(seen[..., None], outputs - y[:, steps], 0).double()
                    errors += torch.stack([error.abs().sum(dim=(0, 1)), error.square().sum(dim=(0, 1))])
            if self._loss.classify:
                confusion += multiclass_confusion_matrix(final.argmax(dim=1), y, size)
                if self._loss.last_step:
                    total += self._loss(final[:, None], y, mask, torch.zeros_like(last))
        result = {"val_loss": float(self._sum(total)) / self._count}
        if self._loss.classify:
            return result | _classify(self._sum(confusion).cpu().numpy())
        if self._loss.language:
            nats = result["val_loss"]
            return result | {"val_bits_per_character": nats / math.log(2), "val_perplexity": math.exp(min(nats, 700.0))}
        scale = np.asarray(self._spec.output_scale)
        absolute, squared = self._sum(errors).cpu().numpy() / self._steps
        if self._spread is None:
            rmse = math.sqrt(float((squared * scale**2).mean()))
            return result | {"val_mae": float((absolute * scale).mean()), "val_rmse": rmse}
        targets = np.sqrt((squared * scale**2).reshape(-1, len(self._spread)).mean(axis=0))
        changing = self._spread > 0
        relative = targets[changing] / self._spread[changing]
        return result | {"val_nrmse": float(relative.mean()) if len(relative) else 0.0}

    def _sum(self, tensor: Tensor) -> Tensor:
        return cast(Tensor, self._fabric.all_reduce(tensor, reduce_op="sum"))


def _classify(confusion: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> dict[str, float]:
    """confusion: (classes, classes), rows the truth. Macro F1 is the mean over the classes that occur, in truth or answer."""
    right = confusion.diagonal()
    either = confusion.sum(axis=0) + confusion.sum(axis=1)
    f1 = 2 * right[either > 0] / either[either > 0]
    return {"val_accuracy": float(right.sum() / confusion.sum()), "val_macro_f1": float(f1.mean())}
