"""The metrics of the validation split, added up batch by batch.

A task chooses one of these. PyTorch is imported late, because reading a configuration needs none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..results.confusion import accuracy, macro_f1

if TYPE_CHECKING:
    from torch import Tensor

Sum = Callable[["Tensor"], "Tensor"]  # over all ranks


class Tally:
    """No metrics but the loss. The others derive from this.

    `figures` gives them by their names in [train] `monitor`, each with "val_" before it.
    """

    def start(self, device: Any) -> None:
        """Before the first batch of an epoch."""

    def add_steps(self, outputs: Tensor, y: Tensor, mask: Tensor) -> None:
        """Some steps of a batch. outputs: (N, steps, O). y, mask: of these, as in `Examples`."""

    def add_last(self, outputs: Tensor, y: Tensor) -> None:
        """A whole batch. outputs: (N, O) at each sequence's last step. y: as in `Examples`."""

    def figures(self, loss: float, steps: int, total: Sum) -> dict[str, float]:  # noqa: ARG002
        """loss: the mean over all ranks. steps: the number that counts, of all ranks."""
        return {}


class ClassTally(Tally):
    """Metrics of a class for each sequence, answered at its last step."""

    def __init__(self, classes: int):
        self._classes = classes

    def start(self, device: Any) -> None:
        import torch

        size = (self._classes, self._classes)
        self._confusion = torch.zeros(*size, dtype=torch.int64, device=device)

    def add_last(self, outputs: Tensor, y: Tensor) -> None:
        self._add(outputs, y)

    def _add(self, outputs: Tensor, y: Tensor) -> None:
        """outputs: (N, O). y: (N,). It doesn't wait for the device, as a bincount would."""
        places = y * self._classes + outputs.argmax(dim=1)
        self._confusion.view(-1).index_add_(0, places, places.new_ones(len(places)))

    def figures(self, loss: float, steps: int, total: Sum) -> dict[str, float]:  # noqa: ARG002
        counts = total(self._confusion).cpu().numpy()
        return {"val_accuracy": accuracy(counts), "val_macro_f1": macro_f1(counts)}


class StepClassTally(ClassTally):
    """The same of a class at each step."""

    def add_steps(self, outputs: Tensor, y: Tensor, mask: Tensor) -> None:
        self._add(outputs[mask], y[mask])

    def add_last(self, outputs: Tensor, y: Tensor) -> None:
        """The last step was among the steps."""


class NumberTally(Tally):
    """Errors of numbers at each step, or the NRMSE if there are several targets.

    They are in raw units, or on the logarithmic scale on which the network learns.

    scale   (O,) in the same units, by which the network's outputs are multiplied
    spread  (targets,) the standard deviation of each one's truth if there are several, because
            these have no common unit. None if there is one
    points  the outputs that are measured. The others are quantiles beside them
    """

    def __init__(
        self,
        scale: NDArray[np.float64],
        spread: NDArray[np.float64] | None,
        points: slice = slice(None),
    ):
        self._scale = scale[points]
        self._spread = spread
        self._points = points

    def start(self, device: Any) -> None:
        import torch

        size = (2, len(self._scale))  # absolute, squared
        self._errors = torch.zeros(*size, dtype=torch.float64, device=device)

    def add_steps(self, outputs: Tensor, y: Tensor, mask: Tensor) -> None:
        import torch

        error = (outputs - y)[..., self._points]
        error = torch.where(mask[..., None], error, 0).double()
        self._errors += torch.stack([error.abs().sum(dim=(0, 1)), error.square().sum(dim=(0, 1))])

    def figures(self, loss: float, steps: int, total: Sum) -> dict[str, float]:  # noqa: ARG002
        scale = self._scale
        absolute, squared = total(self._errors).cpu().numpy() / steps
        if self._spread is None:
            rmse = math.sqrt(float((squared * scale**2).mean()))
            return {"val_mae": float((absolute * scale).mean()), "val_rmse": rmse}
        targets = np.sqrt((squared * scale**2).reshape(-1, len(self._spread)).mean(axis=0))
        changing = self._spread > 0
        relative = targets[changing] / self._spread[changing]
        return {"val_nrmse": float(relative.mean()) if len(relative) else 0.0}
