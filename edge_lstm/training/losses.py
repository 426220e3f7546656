"""The losses that training minimizes.

Padding and unknown targets change neither a loss nor its gradients. A task chooses one of these,
with its settings. PyTorch is imported late, because reading a configuration needs no loss.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data.examples import Examples

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100  # the class of a step that doesn't count


class Loss(ABC):
    """A sum over the terms that count, so that parts of a batch can be added up.

    last_step  whether the last step of each sequence counts alone
    """

    last_step: bool = False

    def counts(self, examples: Examples) -> NDArray[np.int64]:
        """(N,) how many terms each sequence has in the sum."""
        steps: NDArray[np.int64] = examples.mask.sum(axis=1)
        return steps

    @abstractmethod
    def __call__(self, outputs: Tensor, y: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        """The sum of the terms.

        outputs: (N, T, O). y, mask: as in `Examples`. last: (N,) each sequence's last step.
        """

    @abstractmethod
    def towards(
        self, outputs: Tensor, wanted: Tensor, mask: Tensor, last: Tensor, temperature: float
    ) -> Tensor:
        """The same against a teacher's answers, wanted (N, T, O). temperature: of [distill]."""


class _Softened(Loss):
    """A loss of classes."""

    def towards(
        self, outputs: Tensor, wanted: Tensor, mask: Tensor, last: Tensor, temperature: float
    ) -> Tensor:
        """The Kullback-Leibler divergence of the softened classes, times the squared temperature.

        So gradients keep their size (Hinton et al. 2015, arXiv 1503.02531).
        """
        import torch
        from torch.nn.functional import kl_div, log_softmax

        outputs = outputs.float()
        wanted = wanted.float()
        if self.last_step:
            outputs = _at(outputs, last)
            wanted = _at(wanted, last)
            mask = torch.ones_like(last, dtype=torch.bool)
        ours = log_softmax(outputs / temperature, dim=-1)
        theirs = log_softmax(wanted / temperature, dim=-1)
        divergence = kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=-1)
        return temperature**2 * torch.where(mask, divergence, 0).sum()


@dataclasses.dataclass(frozen=True)
class SequenceClassLoss(_Softened):
    """The cross-entropy of a class for each sequence, at every step or at the last.

    label_smoothing  the share of the truth that is spread over all classes
    """

    last_step: bool = False
    label_smoothing: float = 0.0

    def counts(self, examples: Examples) -> NDArray[np.int64]:
        return np.ones(len(examples), np.int64) if self.last_step else super().counts(examples)

    def __call__(self, outputs: Tensor, y: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        from torch.nn.functional import cross_entropy

        outputs = outputs.float()
        smoothing = self.label_smoothing
        if self.last_step:
            return cross_entropy(_at(outputs, last), y, reduction="sum", label_smoothing=smoothing)
        return _of_steps(outputs, y[:, None], mask, smoothing)


@dataclasses.dataclass(frozen=True)
class StepClassLoss(_Softened):
    """The cross-entropy of a class for each step."""

    def __call__(
        self,
        outputs: Tensor,
        y: Tensor,
        mask: Tensor,
        last: Tensor,  # noqa: ARG002
    ) -> Tensor:
        return _of_steps(outputs.float(), y, mask)


@dataclasses.dataclass(frozen=True)
class NumberLoss(Loss):
    """The squared error of numbers at each step.

    huber  Huber's loss in its place, twice, so that small errors count as in the squared error
    """

    huber: bool = False

    def counts(self, examples: Examples) -> NDArray[np.int64]:
        terms: NDArray[np.int64] = super().counts(examples) * examples.y.shape[2]
        return terms

    def __call__(
        self,
        outputs: Tensor,
        y: Tensor,
        mask: Tensor,
        last: Tensor,  # noqa: ARG002
    ) -> Tensor:
        import torch
        from torch.nn.functional import huber_loss

        error = _errors(outputs, y, mask)
        if self.huber:
            return 2 * huber_loss(error, torch.zeros_like(error), reduction="sum")
        return error.square().sum()

    def towards(
        self,
        outputs: Tensor,
        wanted: Tensor,
        mask: Tensor,
        last: Tensor,  # noqa: ARG002
        temperature: float,  # noqa: ARG002
    ) -> Tensor:
        """The squared error, whichever loss the truth has."""
        return _errors(outputs, wanted.float(), mask).square().sum()


@dataclasses.dataclass(frozen=True)
class PinballLoss(NumberLoss):
    """The loss whose least value is at the quantiles of what is to be answered.

    An error below the truth costs q times its size, and one above it 1 - q times. Koenker and
    Bassett, Regression Quantiles, Econometrica 46 (1978).
    quantiles  of each value. The outputs of a value are side by side
    """

    quantiles: tuple[float, ...] = (0.5,)

    def __call__(
        self,
        outputs: Tensor,
        y: Tensor,
        mask: Tensor,
        last: Tensor,  # noqa: ARG002
    ) -> Tensor:
        import torch

        error = _errors(outputs, y, mask)
        errors = [error[..., n :: len(self.quantiles)] for n in range(len(self.quantiles))]
        terms = zip(self.quantiles, errors, strict=True)
        return torch.stack([torch.maximum((1 - q) * e, -q * e).sum() for q, e in terms]).sum()


def _errors(outputs: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """outputs, wanted: (N, T, O), mask: (N, T) -> (N, T, O), 0 at the steps that don't count."""
    import torch

    return torch.where(mask[..., None], outputs.float() - wanted, 0)


def _of_steps(outputs: Tensor, y: Tensor, mask: Tensor, smoothing: float = 0.0) -> Tensor:
    """outputs: (N, T, O). y: (N, T), or (N, 1) for a class of all steps."""
    import torch
    from torch.nn.functional import cross_entropy

    return cross_entropy(
        outputs.flatten(0, 1),
        torch.where(mask, y, IGNORED).flatten(),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=smoothing,
    )


def _at(outputs: Tensor, steps: Tensor) -> Tensor:
    """outputs: (N, T, O), steps: (N,) -> (N, O)."""
    import torch

    return outputs[torch.arange(len(outputs), device=outputs.device), steps]
