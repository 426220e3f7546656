"""What has no form in integers on Ethos-U. The compiler need not be started for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.ops import NumpyOps

from ..finding import Finding, Places, Rule

ADVICE = "use a backend of the CPU, or another network"


class Asked(NumpyOps):
    """The functions that `compiler/tape.py` does not have, and whether a cell calls them."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def softmax(self, a: Any) -> Any:
        self.calls.append("divides by a sum of powers")
        return super().softmax(a)

    def one_hot(self, a: Any, count: int) -> Any:
        self.calls.append("looks up a row")
        return super().one_hot(a, count)


def layers(spec: ModelSpec) -> Places:
    """A layer's cell calls a function that has no form in integers here."""
    for layer in spec.network.layers:
        for what in _calls(layer, spec.network.sizes[layer.name][0]):
            yield f"layer {layer.name!r} {what}, which has no form in integers here", ADVICE


def _calls(layer: Layer, inputs: int) -> list[str]:
    asked = Asked()
    weights = {name: np.zeros(shape) for name, shape in layer.weights(inputs).items()}
    state = layer.initial_state(inputs, np.float64)
    layer.cell(asked, lambda name, v: v @ weights[name], weights, np.zeros(inputs), state)
    return asked.calls


def whole(spec: ModelSpec) -> Places:
    """The network needs a whole sequence. An Ethos-U gets one step here."""
    if spec.whole:
        yield "the network needs a whole sequence, and Ethos-U gets one step", ADVICE


def opaque(spec: ModelSpec) -> Places:
    """The network is an opaque step graph, whose operators are not known here."""
    if spec.network.opaque:
        yield "the network is a step graph, and Ethos-U takes layers", ADVICE


# In order: a rule reads only what the ones before have let pass.
RULES = {
    "layers-are-known": Rule("error", opaque),
    "one-step": Rule("error", whole),
    "layer-has-integers": Rule("error", layers),
}


def findings(spec: ModelSpec) -> Sequence[Finding]:
    """Those of the first rule that is broken."""
    for name, rule in RULES.items():
        if found := [Finding(name, rule.level, *place) for place in rule.check(spec)]:
            return found
    return ()


def refused(spec: ModelSpec) -> str:
    """Why the network has no form, "" if it has one."""
    found = findings(spec)
    return f"{found[0].message}; {found[0].advice}" if found else ""
