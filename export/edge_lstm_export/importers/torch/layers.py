"""Operators that become layers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.gru import Gru
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.layers.rnn import Rnn

from .. import Float32
from .._rows import canonical
from .axes import Moves
from .values import Const, FaultError, Rows, State, Value, base_of, module_of, shape_of

ACTIVATIONS = {"tanh": "tanh", "sigmoid": "sigmoid", "relu": "relu", "relu_": "relu"}
KINDS: dict[str, type[Layer]] = {"lstm": Lstm, "gru": Gru, "rnn_tanh": Rnn, "rnn_relu": Rnn}


@dataclasses.dataclass
class Layers(Moves):
    """tensors: placeholder -> a weight. The rest is found.

    layers   (operator, inputs, weights) -> the layer
    sizes    layer, or FEATURES -> the size of its output
    found    layer -> step, or None -> the node that is its output, and the axis of time in it
    where    layer -> its name for messages
    loops    the first node of a recurrent layer -> the last one
    given    row of a given state -> the layer, and "h" or "c" of it
    fused    an activation that is a part of a layer -> its value
    """

    tensors: dict[str, Any]
    layers: dict[Any, Layer] = dataclasses.field(default_factory=dict, init=False)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict, init=False)
    weights: dict[str, Float32] = dataclasses.field(default_factory=dict, init=False)
    found: dict[str, tuple[dict[int | None, str], int | None]] = dataclasses.field(
        default_factory=dict, init=False
    )
    where: dict[str, str] = dataclasses.field(default_factory=dict, init=False)
    loops: dict[str, str] = dataclasses.field(default_factory=dict, init=False)
    given: dict[tuple[str, str], tuple[str, str]] = dataclasses.field(
        default_factory=dict, init=False
    )
    fused: dict[str, Rows] = dataclasses.field(default_factory=dict, init=False)

    def _linear(self, node: Any, base: str) -> Value:  # noqa: ARG002
        rows = self._rows(node.args[0])
        if rows.axes[-1] != "F":
            raise FaultError("multiplies an axis that is not the features")
        weight = self._constant(node.args[1]).T
        bias = node.args[2] if len(node.args) > 2 else None
        b = np.zeros(weight.shape[1]) if bias is None else self._constant(bias)
        last, activation = _activated(node)
        key = ("linear", rows.parts, node.args[1].name, getattr(bias, "name", ""), activation)
        made = self._dense(key, rows, last, weight, b, activation)
        if last is not node:
            self.fused[last.name] = made
        return made

    def _activation(self, node: Any, base: str) -> Value:
        rows = self._rows(node.args[0])
        size = self._size(rows)
        kind = ACTIVATIONS[base]
        return self._dense((kind, rows.parts), rows, node, np.eye(size), np.zeros(size), kind)

    def _add(self, node: Any, base: str) -> Value:  # noqa: ARG002
        nodes = node.args[:2]
        values = [self.values.get(getattr(n, "name", "")) for n in nodes]
        if any(value is None or isinstance(value, Const) for value in values):
            raise FaultError("adds a constant, which there is no layer for yet")
        if node.kwargs.get("alpha", 1) != 1:
            raise FaultError("adds with a factor (alpha), which there is no layer for yet")
        rows = [self._rows(n) for n in nodes]
        self._alike(rows)
        size = self._size(rows[0])
        if self._size(rows[1]) != size:
            raise FaultError("adds parts of unequal size")
        both = dataclasses.replace(rows[0], parts=rows[0].parts + rows[1].parts)
        twice = np.vstack([np.eye(size), np.eye(size)])
        key = ("add", rows[0].parts, rows[1].parts)
        return self._dense(key, both, node, twice, np.zeros(size), "none")

    def _dense(self, key: Any, rows: Rows, node: Any, W: Any, b: Any, activation: Any) -> Rows:
        """The layer of this key, which is made if there is none."""
        if key not in self.layers:
            layer = Dense(self._name(Dense.type), rows.parts, len(b), activation)
            self._keep(key, layer, node)
            self.weights[f"{layer.name}.W"] = np.ascontiguousarray(W, np.float32)
            self.weights[f"{layer.name}.b"] = np.asarray(b, np.float32)
        name = self.layers[key].name
        self._seen(name, node, rows)
        return Rows((name,), rows.axes, rows.at)

    def _keep(self, key: Any, layer: Any, node: Any, part: str = "") -> None:
        self.layers[key] = layer
        self.sizes[layer.name] = layer.outputs(1)
        self.where[layer.name] = (module_of(node) or node.name) + part

    def _seen(self, layer: str, node: Any, rows: Rows) -> None:
        axis = rows.axes.index("T") if "T" in rows.axes else None
        self.found.setdefault(layer, ({}, axis))[0].setdefault(rows.at, node.name)

    def _name(self, kind: str) -> str:
        return f"{kind}{sum(layer.type == kind for layer in self.layers.values())}"

    def _size(self, rows: Rows) -> int:
        return sum(self.sizes[name] for name in rows.parts)

    def _constant(self, node: Any) -> Any:
        value = self.values[node.name]
        if not isinstance(value, Const):
            raise FaultError(f"has a weight that is computed, {node.name!r}")
        return value.tensor.double().numpy()

    # --- recurrent layers ---

    def _sequence(self, node: Any, base: str) -> Value:
        source, hx, params, biases, count, dropout, train, both, batch_first = node.args
        rows = self._rows(source)
        if both:
            raise FaultError("is bidirectional, which needs whole sequences")
        if train and dropout:
            raise FaultError(
                "drops values at random: exported in training mode; call net.eval() first"
            )
        group = 4 if biases else 2
        if len(params) != group * count:
            raise FaultError("has a projection (proj_size > 0), which there is no layer for")
        expected = ("1", "T", "F") if batch_first else ("T", "1", "F")
        if "T" not in rows.axes:
            expected = ("1", "1", "F")
        if rows.axes != expected or rows.at is not None:
            raise FaultError(
                f"reads the shape {shape_of(source)} as "
                f"{'(batch, steps, features)' if batch_first else '(steps, batch, features)'}: "
                "expected one batch row; several, or a wrong batch_first?"
            )
        layers = []
        parts = rows.parts
        for k in range(count):
            part = f", layer {k}" if count > 1 else ""
            group_k = params[group * k : group * (k + 1)]
            layers.append(self._recurrent((node.name, k), base, parts, group_k, node, part))
            parts = (layers[-1],)
        self._initial(node, hx, layers)
        for item in (n for n in node.users if n.args[1] == 0):
            self._seen(layers[-1], item, rows)
        states = [State(tuple((n, w) for n in layers), self.steps - 1) for w in _whiches(base)]
        return (Rows(parts, rows.axes), *states)

    def _cell(self, node: Any, base: str) -> Value:
        kind = base.removesuffix("_cell")
        source, hx, *params = node.args
        rows = self._rows(source)
        if rows.axes != ("1", "F"):
            raise FaultError(
                f"reads the shape {shape_of(source)}, expected one batch row, (1, features)"
            )
        params = [p for p in params if p is not None]
        key = (kind, rows.parts, *(p.name for p in params))
        step = rows.at or 0
        if key in self.layers:
            name = self.layers[key].name
            for which, n in zip(_whiches(kind), _listed(hx), strict=True):
                before = self._state(self.values[n.name])
                if before != State(((name, which),), step - 1):
                    raise FaultError(f"does not read its own {which} of the step before")
        else:
            name = self._recurrent(key, kind, rows.parts, params, node, "")
            if step:
                raise FaultError("begins after the first step")
            self._initial(node, hx, [name])
        self.loops[self.starts[name]] = node.name
        after = self._at(step)
        output = Rows((name,), rows.axes, after)
        if kind != "lstm":
            self._seen(name, node, rows)
            return output
        for n in node.users:
            if n.args[1] == 0:
                self._seen(name, n, rows)
        return output, State(((name, "c"),), step)

    def _recurrent(
        self, key: Any, base: str, parts: tuple[str, ...], params: list[Any], node: Any, part: str
    ) -> str:
        """The name of a new layer. params: W_x, W_h and perhaps the two biases."""
        W_x, W_h, *biases = [self._constant(p) for p in params]
        units = W_h.shape[1]
        kind = KINDS[base]
        options = {"activation": base.removeprefix("rnn_")} if kind is Rnn else {}
        name = self._name(kind.type)
        layer = kind(name, parts, units, **options)  # type: ignore[call-arg]
        b_x, b_h = biases or (np.zeros(len(W_x)), np.zeros(len(W_x)))
        if biases:
            summed = len(b_h) - (units if kind is Gru else 0)
            self._round(params[3].name, b_x, b_h, summed)
        self.weights |= canonical(layer, W_x, W_h, b_x, b_h)
        self._keep(key, layer, node, part)
        self.starts[name] = node.name
        return name

    def _round(self, name: str, b_x: Any, b_h: Any, summed: int) -> None:
        """Make the original's biases what a layer has: the float32 sum of the two.

        The rounding, at most half a unit in the last place, goes into b_h. The first `summed`
        values are those that a layer adds up.
        """
        import torch

        rounded = b_h.copy()
        sums = (b_x + b_h).astype(np.float32).astype(np.float64)
        rounded[:summed] = (sums - b_x)[:summed]
        self.tensors[name] = torch.from_numpy(rounded)

    def _initial(self, node: Any, hx: Any, layers: list[str]) -> None:
        """Zeros, or states that are given from outside."""
        self.loops[node.name] = node.name
        values = [self.values[n.name] for n in _listed(hx)]
        if len({type(value) for value in values}) > 1:
            raise FaultError("begins with a given state and one that is not given")
        for which, n, value in zip("hc", _listed(hx), values, strict=False):
            if isinstance(value, Const):
                if value.tensor.any():
                    raise FaultError(
                        f"has an initial state that is not zero, {n.name!r}: there is no layer for "
                        "it yet"
                    )
            elif isinstance(value, State) and value.at == -1 and len(value.items) == len(layers):
                for item, layer in zip(value.items, layers, strict=True):
                    if item in self.given:
                        raise FaultError(f"takes the state {item[0]!r} a second time")
                    self.given[item] = (layer, which)
            else:
                raise FaultError(
                    f"begins with {n.name!r}, which is neither zeros nor a given state"
                )


def _listed(hx: Any) -> list[Any]:
    return list(hx) if isinstance(hx, list | tuple) else [hx]


def _whiches(base: str) -> str:
    return "hc" if base.startswith("lstm") else "h"


def _activated(node: Any) -> tuple[Any, str]:
    """The activation that alone reads a node, and its name. Else the node itself, and "none"."""
    users = list(node.users)
    if len(users) == 1:
        base = base_of(users[0])
        if base in ACTIVATIONS:
            return users[0], ACTIVATIONS[base]
    return node, "none"
