"""The losses that training minimizes.

Padding and unknown targets change neither a loss nor its gradients. A task chooses one of these,
with its settings. PyTorch is imported late, because reading a configuration needs no loss.
"""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.model.spec import ModelSpec

from ..data.examples import Examples, Windows

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ClassWeight = Literal["balanced"] | Mapping[str, float]
IGNORED = -100  # the class of a step that doesn't count


class Loss(ABC):
    """A sum over the terms that count, so that parts of a batch can be added up.

    last_step  whether the last step of each sequence counts alone
    """

    last_step: bool = False

    def counts(self, examples: Examples | Windows) -> NDArray[np.int64]:
        """(N,) how many terms each sequence has in the sum."""
        return examples.counted

    def fitted(self, spec: ModelSpec, examples: Examples | Windows) -> Loss:  # noqa: ARG002
        """With what it takes from the training split. Raises ConfigError if it can't."""
        return self

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


@dataclasses.dataclass(frozen=True)
class _ClassLoss(Loss):
    """A cross-entropy of classes.

    label_smoothing  the share of the truth that is spread over all classes
    class_weight     as of [train]
    weights          of the classes, in order, which `fitted` finds. None if all are 1
    """

    label_smoothing: float = 0.0
    class_weight: ClassWeight | None = None
    weights: tuple[float, ...] | None = None

    def fitted(self, spec: ModelSpec, examples: Examples | Windows) -> Loss:
        if self.class_weight is None:
            return self
        classes = spec.answer.classes
        if self.class_weight == "balanced":
            found = [self._classes(part, len(classes)) for part in examples.parts()]
            count = np.maximum(np.sum(found, axis=0), 1)
            weights = count.sum() / (len(classes) * count)
        else:
            if unknown := sorted(set(self.class_weight) - set(classes)):
                raise ConfigError(
                    f"[train] class_weight: there is no class {unknown[0]!r}; "
                    f"the classes are {', '.join(map(repr, classes))}"
                )
            weights = np.array([self.class_weight.get(name, 1.0) for name in classes])
        return dataclasses.replace(self, weights=tuple(weights.tolist()))

    def _classes(self, examples: Examples, classes: int) -> NDArray[np.float64]:
        """(classes,) how many terms of the sum are of each class."""
        y = examples.y
        terms = None if y.ndim == 2 else self.counts(examples)
        return np.bincount(y[examples.mask] if y.ndim == 2 else y, terms, classes).astype(float)

    def _entropy(self, outputs: Tensor, y: Tensor) -> Tensor:
        """outputs: (N, O). y: (N,), IGNORED where it doesn't count."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(
            outputs,
            y,
            None if self.weights is None else _on(outputs.device, self.weights),
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )

    def _of_steps(self, outputs: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        """outputs: (N, T, O). y: (N, T), or (N, 1) for a class of all steps."""
        import torch

        return self._entropy(outputs.flatten(0, 1), torch.where(mask, y, IGNORED).flatten())

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
class SequenceClassLoss(_ClassLoss):
    """The cross-entropy of a class for each sequence, at every step or at the last."""

    last_step: bool = False

    def counts(self, examples: Examples | Windows) -> NDArray[np.int64]:
        return np.ones(len(examples), np.int64) if self.last_step else super().counts(examples)

    def __call__(self, outputs: Tensor, y: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        outputs = outputs.float()
        if self.last_step:
            return self._entropy(_at(outputs, last), y)
        return self._of_steps(outputs, y[:, None], mask)


@dataclasses.dataclass(frozen=True)
class StepClassLoss(_ClassLoss):
    """The cross-entropy of a class for each step."""

    def __call__(
        self,
        outputs: Tensor,
        y: Tensor,
        mask: Tensor,
        last: Tensor,  # noqa: ARG002
    ) -> Tensor:
        return self._of_steps(outputs.float(), y, mask)


@dataclasses.dataclass(frozen=True)
class NumberLoss(Loss):
    """The squared error of numbers at each step.

    huber  Huber's loss in its place, twice, so that small errors count as in the squared error
    """

    huber: bool = False

    def counts(self, examples: Examples | Windows) -> NDArray[np.int64]:
        terms: NDArray[np.int64] = super().counts(examples) * examples.y.shape[-1]
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


@functools.lru_cache
def _on(device: torch.device, weights: tuple[float, ...]) -> Tensor:
    """Copied once: no copy may be part of a step that is recorded as a CUDA graph."""
    import torch

    return torch.tensor(weights, device=device)


def _at(outputs: Tensor, steps: Tensor) -> Tensor:
    """outputs: (N, T, O), steps: (N,) -> (N, O)."""
    import torch

    return outputs[torch.arange(len(outputs), device=outputs.device), steps]
