"""How far back the gradient reaches: the norm of d loss / d h and d loss / d c, step by step before
the loss, by autograd."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_lstm import Run
from edge_lstm.data.examples import Examples
from edge_lstm.data.windows import examples
from edge_lstm.layers.ops import TORCH
from edge_lstm.tasks.base import task_of
from edge_lstm_runtime import ModelSpec

from ..measure.cells import products
from .memory import falls_below
from .recording import lstm_layers

WINDOW = 200  # steps before the loss
MOST = 32  # sequences or windows of the test split

Float64 = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Gradients:
    """windows: pieces of the test split. Each has one loss, at its last step whose truth is known.

    h, c  per layer (windows, W): the norm of the loss's derivative by h, and by c, n = 0 ... W - 1
          steps before the loss. NaN before the window begins
    """

    windows: int
    h: list[Float64]
    c: list[Float64]

    def curves(self, layer: int) -> tuple[Float64, Float64]:
        """(W,) each: the medians over the windows of h and c."""
        return np.nanmedian(self.h[layer], axis=0), np.nanmedian(self.c[layer], axis=0)

    def to_dict(self) -> dict[str, Any]:
        layers = []
        for k in range(len(self.h)):
            h, c = self.curves(k)
            tenth = falls_below(c, 0.1)
            hundredth = falls_below(c, 0.01)
            layers.append(
                {
                    "h": h.tolist(),
                    "c": c.tolist(),
                    "c_tenth_before": tenth,
                    "c_hundredth_before": hundredth,
                }
            )
        return {"windows": self.windows, "steps": self.h[0].shape[1], "layers": layers}

    def sentences(self) -> list[str]:
        said = []
        for k in range(len(self.h)):
            c = self.curves(k)[1]
            start = f"Layer {k + 1}: going back from the loss, the gradient at the cell"
            tenth = falls_below(c, 0.1)
            hundredth = falls_below(c, 0.01)
            if c.max() > 10 * c[0] > 0:
                times = c.max() / c[0]
                peak = int(c.argmax())
                said.append(
                    f"{start} grows to {times:.3g} times its size, {peak} steps back; "
                    "if training is unsteady, this may be why."
                )
            elif tenth is None:
                left = 100 * c[-1] / c.max()
                said.append(
                    f"{start} is still {left:.2g} % of its largest after {len(c) - 1} steps: "
                    "training sees that far."
                )
            elif hundredth is None:
                said.append(
                    f"{start} falls to a tenth after {tenth} steps "
                    f"and stays above a hundredth for all {len(c) - 1}."
                )
            else:
                further = (
                    f"falls to a tenth after {tenth} steps and to a hundredth after {hundredth}"
                )
                said.append(
                    f"{start} {further}; what lies further back hardly teaches it anything."
                )
        return said


def measure_gradients(run: Run, window: int = WINDOW, most: int = MOST) -> Gradients:
    """Over windows of the test split, each from the zero state, with the run's own loss."""
    spec = run.spec
    longest = max(len(s.x) for s in run.splits.test)
    data = examples(spec, run.splits.test, window=min(window, longest), short="pad")
    data = _some(data, most)
    steps = data.x.shape[1]
    last = steps - 1 - data.mask[:, ::-1].argmax(axis=1)  # the last step that counts
    outputs, hidden, cells = unroll(spec, run.weights, torch.from_numpy(data.x).double())
    mask = torch.zeros(data.mask.shape, dtype=torch.bool)
    mask[range(len(data)), last] = True
    learned = examples(spec, run.splits.train)
    own = task_of(spec).loss(run.config.train, spec).fitted(spec, learned)
    loss = own(outputs, torch.from_numpy(data.y), mask, torch.from_numpy(last))
    nodes = [node for layer in (*hidden, *cells) for node in layer]
    # The topmost h after the loss does not reach the loss, nor does anything after it.
    found = torch.autograd.grad(loss, nodes, allow_unused=True)
    norms = torch.stack(
        [torch.zeros(len(data), dtype=torch.float64) if g is None else g.norm(dim=1) for g in found]
    )
    layers = len(hidden)
    table = norms.reshape(2 * layers, steps, len(data)).numpy()
    back = last[:, None] - np.arange(steps)  # (N, W) the step that lies n before the loss
    aligned = [
        np.where(back >= 0, np.take_along_axis(layer.T, np.maximum(back, 0), axis=1), np.nan)
        for layer in table
    ]
    used = int(last.max()) + 1
    aligned = [layer[:, :used] for layer in aligned]
    return Gradients(len(data), aligned[:layers], aligned[layers:])


def _some(data: Examples, most: int) -> Examples:
    chosen = np.unique(np.linspace(0, len(data) - 1, most).round().astype(np.int64))
    fields = {field.name: getattr(data, field.name)[chosen] for field in dataclasses.fields(data)}
    return dataclasses.replace(data, **fields)


def unroll(
    spec: ModelSpec, weights: Mapping[str, NDArray[Any]], x: Tensor
) -> tuple[Tensor, list[list[Tensor]], list[list[Tensor]]]:
    """The network step by step, so that every state is a node of its own. nn.LSTM shows only the
    last one.

    x: (N, T, F) float64 -> outputs (N, T, O), and per layer T times h and c, (N, H) each.
    """
    tensors = {name: torch.from_numpy(array).double() for name, array in weights.items()}
    hidden: list[list[Tensor]] = []
    cells: list[list[Tensor]] = []
    inputs = list(x.unbind(dim=1))
    for layer in lstm_layers(spec):
        own = spec.network.own(layer, tensors)
        product = products(own)
        zero = x.new_zeros(len(x), layer.units).requires_grad_()
        state = {"h": zero, "c": zero}
        hs: list[Tensor] = []
        cs: list[Tensor] = []
        for step in inputs:
            _, state = layer.cell(TORCH, product, own, step, state)
            hs.append(state["h"])
            cs.append(state["c"])
        hidden.append(hs)
        cells.append(cs)
        inputs = hs
    head = spec.network.own(spec.network.layers[-1], tensors)
    return torch.stack(inputs, dim=1) @ head["W"] + head["b"], hidden, cells
