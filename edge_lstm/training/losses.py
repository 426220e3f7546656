"""What training minimises. Padding and unknown targets change neither the loss nor its gradients."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, huber_loss, kl_div, log_softmax

from edge_lstm_runtime.model.spec import ModelSpec

from ..config.sections import TrainConfig
from ..data.windows import Examples

IGNORED = -100  # the class of a step that doesn't count


@dataclasses.dataclass(frozen=True)
class Loss:
    """The loss of one task, as a sum over what counts, so that parts of a batch can be added up.

    last_step  classify: only the last step of each sequence counts
    """

    classify: bool
    last_step: bool = False
    label_smoothing: float = 0.0
    huber: bool = False
    language: bool = False

    @classmethod
    def of(cls, spec: ModelSpec, config: TrainConfig) -> Loss:
        kind = {"classify": spec.task == "classify", "language": spec.task == "language"}
        return cls(**kind, **config.loss_options)

    def counts(self, examples: Examples) -> NDArray[np.int64]:
        """(N,) how many terms each sequence has in the sum."""
        if self.classify and self.last_step:
            return np.ones(len(examples), np.int64)
        steps: NDArray[np.int64] = examples.mask.sum(axis=1)
        return steps if self.classify or self.language else steps * examples.y.shape[2]

    def __call__(self, outputs: Tensor, y: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        """outputs: (N, T, O); y, mask: as in `Examples`; last: (N,) each sequence's last step. Returns the sum of the terms."""
        outputs = outputs.float()
        if self.language:
            return cross_entropy(outputs.flatten(0, 1), torch.where(mask, y, IGNORED).flatten(), ignore_index=IGNORED, reduction="sum")
        if not self.classify:
            error = torch.where(mask[..., None], outputs - y, 0)
            # Twice Huber's loss, so that small errors count as in the squared error.
            return 2 * huber_loss(error, torch.zeros_like(error), reduction="sum") if self.huber else error.square().sum()
        if self.last_step:
            return cross_entropy(_at(outputs, last), y, reduction="sum", label_smoothing=self.label_smoothing)
        every = torch.where(mask, y[:, None], IGNORED)
        smoothing = self.label_smoothing
        return cross_entropy(outputs.flatten(0, 1), every.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing)

    def towards(self, outputs: Tensor, wanted: Tensor, mask: Tensor, last: Tensor, temperature: float) -> Tensor:
        """As the loss itself, but of what a teacher answers: wanted (N, T, O).

        Classes and characters: the Kullback-Leibler divergence of the softened classes, times the squared temperature, so that gradients
        keep their size (Hinton et al. 2015, arXiv 1503.02531). Else the squared error.
        """
        outputs, wanted = outputs.float(), wanted.float()
        if not (self.classify or self.language):
            return torch.where(mask[..., None], outputs - wanted, 0).square().sum()
        if self.last_step:
            outputs, wanted, mask = _at(outputs, last), _at(wanted, last), torch.ones_like(last, dtype=torch.bool)
        ours, theirs = log_softmax(outputs / temperature, dim=-1), log_softmax(wanted / temperature, dim=-1)
        divergence = kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=-1)
        return temperature**2 * torch.where(mask, divergence, 0).sum()


def _at(outputs: Tensor, steps: Tensor) -> Tensor:
    """outputs: (N, T, O), steps: (N,) -> (N, O)."""
    return outputs[torch.arange(len(outputs), device=outputs.device), steps]
