"""One step of a network as a torch module of integers, with its states as inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.model.network import Network

from .grids import TANH, Grid, symmetric
from .tape import Form, Tape
from .values import Sums, Value, valued

# Of x and the states beyond the calibration set's. A test stream goes beyond those of training.
EDGE_MARGIN = {8: 1.02, 16: 2.0}
ROOM = 8.0  # the least range of a unit's cell state. tanh is flat beyond 5.5
Ranges = Mapping[str, tuple[float, float]]


class Step(torch.nn.Module):
    """(x, *states) -> (y, *states), integers of (N, size) each. See `quantized`.

    inside: sites whose values are further outputs.
    """

    def __init__(self, net: Network, weights: Mapping[str, Any], form: Form):
        super().__init__()
        self._net = net
        self._form = form
        self._weights = {n: torch.tensor(w, dtype=torch.float32) for n, w in weights.items()}
        self.ranges: Ranges | None = None
        self.fixed: dict[str, Grid] = {}  # of the sites that become states
        self.edges: dict[str, Grid] = {}  # x, y and the states by name
        self.columns: dict[str, tuple[float, ...]] = {}  # of states, as of Value
        self.chosen: dict[str, float] = {}  # by the first run, see Tape
        self.inside: Sequence[str] = ()
        self._kept = 0

    def run(self, x: torch.Tensor, states: Sequence[torch.Tensor]) -> tuple[Tape, dict[str, Value]]:
        """y and the states by name. Floats if the ranges are not known yet."""
        self._kept = 0
        tape = Tape(self._form, self.ranges, self.fixed, self._constant, self.chosen)
        edge = self.edges.get
        values: dict[str, Any] = {FEATURES: Value(tape, x, edge(FEATURES))}
        before = {
            n: Value(tape, s, edge(n), n, self.columns.get(n, ()))
            for n, s in zip(self._net.state, states, strict=True)
        }
        after: dict[str, Value] = {}
        for layer in self._net.layers:
            tape.layer = layer.name
            own = self._net.own(layer, self._weights)
            joined = tape.join([values[name] for name in layer.inputs])
            state = self._net.own(layer, before)
            y, new = layer.cell(tape, _products(tape, own), own, joined, state)
            values[layer.name] = valued(y)
            after.update({f"{layer.name}.{n}": v for n, v in new.items()})
        return tape, {"y": values[self._net.output], **after}

    def forward(self, x: torch.Tensor, *states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        tape, found = self.run(x, states)
        self.edges.setdefault("y", found["y"].on)
        # Such as a state that is the network's input, or a part of it.
        scaled = {n: v.tape.scaled(v, self.columns.get(n, ())) for n, v in found.items()}
        moved = [
            v if v.on == self.edges[n] else v.tape.moved(v, self.edges[n])
            for n, v in scaled.items()
        ]
        return tuple(v.data for v in [*moved, *(tape.made[site] for site in self.inside)])

    def in_floats(self, weights: Mapping[str, Any]) -> Step:
        """The same step in float64. weights: as they were before they were rounded."""
        made = Step(self._net, {}, self._form)
        made._weights = {name: torch.tensor(w, dtype=torch.float64) for name, w in weights.items()}
        made.chosen = self.chosen
        return made

    def whole(self, name: str, values: Any) -> torch.Tensor:
        """(N, size) float32 as the step's integers. name: x or a state's."""
        real = torch.as_tensor(values, dtype=torch.float32)
        return self.edges[name].quantize(real / torch.tensor(self.columns.get(name, (1.0,))))

    def real(self, name: str, whole: torch.Tensor) -> torch.Tensor:
        """The inverse of `whole`. name: y or a state's."""
        return self.edges[name].dequantize(whole) * torch.tensor(self.columns.get(name, (1.0,)))

    def _constant(self, data: torch.Tensor) -> torch.Tensor:
        name = f"constant{self._kept}"
        self._kept += 1
        if not hasattr(self, name):
            self.register_buffer(name, data)
        kept: torch.Tensor = getattr(self, name)
        return kept


def _products(tape: Tape, weights: Mapping[str, torch.Tensor]) -> Any:
    def product(name: str, v: Any) -> Sums:
        W = weights[name]
        return Sums(tape, ((valued(v), W),), torch.zeros(W.shape[1]))

    return product


def quantized(
    net: Network, weights: Mapping[str, Any], form: Form, calibration: Mapping[str, Any]
) -> Step:
    """The step on integers.

    calibration: x (N, F) and each state (N, size) before the step, float32. Raises ValueError, with
    the layer, for one that has no form in integers.
    """
    step = Step(net, weights, form)
    given = {n: torch.tensor(a, dtype=torch.float32) for n, a in calibration.items()}
    states = [given[name] for name in net.state]
    tape, found = step.run(given["x"], states)
    margin = EDGE_MARGIN[form.bits]
    ranges = dict(tape.found)
    step.edges[FEATURES] = symmetric(given["x"].abs().max().item() * margin, form.bits)
    bounded = {f"{one.name}.{one.recurrent}": _bounded(one) for one in net.layers}
    for name, before in zip(net.state, states, strict=True):
        after = found[name]
        extreme = max(before.abs().max().item(), after.data.abs().max().item())
        ranges[name] = ranges[after.site] = (-extreme, extreme)
        grid = symmetric(extreme * margin, form.bits)
        # 16 bits have room for all that may come. 8 bits have not.
        step.edges[name] = TANH[16] if form.bits == 16 and bounded.get(name) else grid
        step.fixed[after.site] = step.edges[name]
        if form.bits == 16 and name not in bounded and extreme * margin > 2 * ROOM:
            limits = before.abs().amax(0) * margin
            step.columns[name] = _columns(limits.clamp_min(ROOM) / (extreme * margin))
    step.ranges = ranges
    return step


def _columns(parts: torch.Tensor) -> tuple[float, ...]:
    """One unit of an LSTM may count to 100 while another stays within 1. Rounding adds up in the
    cell state, so each unit has a step of its own: that of the whole times a power of 2."""
    return tuple(torch.exp2(torch.ceil(torch.log2(parts))).clamp_max(1.0).tolist())


def _bounded(layer: Layer) -> bool:
    return layer.bounded and layer.multiplies_state


def answers(step: Step, given: Mapping[str, Any]) -> dict[str, Any]:
    """PyTorch on the step's integers: y and the states by name, (N, size) float32.

    given: x and the states before, by name, (N, size) float32.
    """
    before = [step.whole(name, values) for name, values in given.items()]
    with torch.no_grad():
        after = step(*before)
    names = ["y", *list(given)[1:]]
    return {
        name: step.real(name, values).numpy() for name, values in zip(names, after, strict=True)
    }
