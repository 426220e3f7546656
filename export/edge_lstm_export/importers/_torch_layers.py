"""PyTorch's own layers in float64, with a file's weights, for files that no tool here runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edge_lstm_runtime.layers import FEATURES

from . import Float32, Floats

PARAMETERS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
MODULES = {"lstm": nn.LSTM, "gru": nn.GRU}
FUNCTIONS = {"none": lambda y: y, "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}


class Recurrent(NamedTuple):
    """weights: (gates H, inputs), (gates H, H) and two biases (gates H), as torch has them.

    initial: h, and c of an LSTM, at the start, (H,) each. () for zeros.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    weights: tuple[Floats, Floats, Floats, Floats]
    initial: tuple[Floats, ...] = ()

    def run(self, x: Tensor) -> Tensor:
        """x: (T, inputs) -> (T, H)"""
        units = self.weights[1].shape[1]
        module = MODULES[self.type](x.shape[1], units, dtype=torch.float64)
        values = (torch.from_numpy(w).double() for w in self.weights)
        module.load_state_dict(dict(zip(PARAMETERS, values, strict=True)))
        states = tuple(torch.from_numpy(state[None]).double() for state in self.initial)
        state = None if not states else states if len(states) > 1 else states[0]
        y: Tensor = module(x, state)[0]
        return y


class Linear(NamedTuple):
    """weight: (outputs, inputs), bias: (outputs)."""

    name: str
    inputs: tuple[str, ...]
    weight: Floats
    bias: Floats
    activation: str = "none"

    def run(self, x: Tensor) -> Tensor:
        """x: (T, inputs) -> (T, outputs)"""
        weight, bias = (torch.from_numpy(w).double() for w in (self.weight, self.bias))
        y: Tensor = FUNCTIONS[self.activation](nn.functional.linear(x, weight, bias))
        return y


class TorchLayers:
    """An `Original`. Of the layers, each reads earlier ones, by name."""

    double = True

    def __init__(self, layers: Sequence[Recurrent | Linear]) -> None:
        self.tool = f"PyTorch {torch.__version__.partition('+')[0]}"
        self._layers = layers

    def run(self, xs: Float32) -> dict[str, Floats]:
        values = {FEATURES: torch.from_numpy(xs).double()}
        with torch.no_grad():
            for layer in self._layers:
                x = torch.cat([values[name] for name in layer.inputs], dim=1)
                values[layer.name] = layer.run(x)
        return {name: y.numpy() for name, y in values.items() if name != FEATURES}
