"""Recurrent layers and embeddings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.both_ways import REVERSE, BothWays
from edge_lstm_runtime.layers.embedding import Embedding
from edge_lstm_runtime.layers.gru import Gru
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.layers.rnn import Rnn

from .._rows import canonical
from .convolution import Convolution
from .values import Const, FaultError, Rows, State, Value, shape_of

KINDS: dict[str, type[Layer]] = {"lstm": Lstm, "gru": Gru, "rnn_tanh": Rnn, "rnn_relu": Rnn}


@dataclasses.dataclass
class Recurrent(Convolution):
    """loops: the first node of a recurrent layer -> the last one
    given    row of a given state -> the layer, and "h" or "c" of it
    replaced a constant -> its value, rounded to float32, which the original takes too
    counts   feature -> how many rows the embedding has that it names
    """

    loops: dict[str, str] = dataclasses.field(default_factory=dict, init=False)
    given: dict[tuple[str, str], tuple[str, str]] = dataclasses.field(
        default_factory=dict, init=False
    )
    counts: dict[int, int] = dataclasses.field(default_factory=dict, init=False)
    replaced: dict[str, Any] = dataclasses.field(default_factory=dict, init=False)

    def _sequence(self, node: Any, base: str) -> Value:
        source, hx, params, biases, count, dropout, train, both, batch_first = node.args
        rows = self._rows(source)
        if train and dropout:
            raise FaultError(
                "drops values at random: exported in training mode; call net.eval() first"
            )
        group = (4 if biases else 2) * (2 if both else 1)
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
            make = self._both if both else self._recurrent
            layers.append(make((node.name, k), base, parts, group_k, node, part))
            parts = (layers[-1],)
        if both:
            self._check_zero(hx)
            return self._both_ways(node, rows, layers)
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

    def _both(
        self, key: Any, base: str, parts: tuple[str, ...], params: list[Any], node: Any, part: str
    ) -> str:
        """As `_recurrent`, in both directions. params: of one, then of the other."""
        half = len(params) // 2
        forward, backward = (
            self._recurrent((*key, way), base, parts, params[way * half :][:half], node, part)
            for way in (0, 1)
        )
        inner = self.layers.pop((*key, 0))
        self.layers.pop((*key, 1))
        name = self._name(BothWays.type)
        layer = BothWays(name, parts, dataclasses.replace(inner, name=name))
        for weight in inner.weights(1):
            self.weights[f"{name}.{weight}"] = self.weights.pop(f"{forward}.{weight}")
            self.weights[f"{name}.{REVERSE}{weight}"] = self.weights.pop(f"{backward}.{weight}")
        self._keep(key, layer, node, part)
        self.starts[name] = node.name
        return name

    def _both_ways(self, node: Any, rows: Rows, layers: list[str]) -> Value:
        for item in (n for n in node.users if n.args[1] == 0):
            self._seen(layers[-1], item, rows)
        return Rows((layers[-1],), rows.axes), None, None

    def _check_zero(self, hx: Any) -> None:
        for n in _listed(hx):
            value = self.values[n.name]
            if not isinstance(value, Const) or value.tensor.any():
                raise FaultError(f"reads both ways and begins with {n.name!r}, expected zeros")

    def _embedding(self, node: Any, base: str) -> Value:  # noqa: ARG002
        weight, source = node.args[:2]
        rows = self._rows(source)
        if "F" in rows.axes or self._size(rows) != 1:
            raise FaultError("looks up several numbers at a step, expected one")
        W = self._constant(weight)
        layer = Embedding(self._name(Embedding.type), rows.parts, *W.shape)
        made = self._layer((*self._called(node), rows.parts), layer, {"W": W}, node)
        if rows.parts == (FEATURES,):
            self.counts[0] = len(W)
        found = self._of(made, node, rows)
        return dataclasses.replace(found, axes=(*rows.axes, "F"))

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
        if all(isinstance(value, Const) for value in values):
            self._begin(_listed(hx), values, layers)
            return
        for which, n, value in zip("hc", _listed(hx), values, strict=False):
            if isinstance(value, State) and value.at == -1 and len(value.items) == len(layers):
                for item, layer in zip(value.items, layers, strict=True):
                    if item in self.given:
                        raise FaultError(f"takes the state {item[0]!r} a second time")
                    self.given[item] = (layer, which)
            else:
                raise FaultError(
                    f"begins with {n.name!r}, which is neither zeros nor a given state"
                )

    def _begin(self, nodes: list[Any], values: list[Any], layers: list[str]) -> None:
        """The states at the start. nodes: of h and perhaps of c, those of all layers in each."""
        if not any(value.tensor.any() for value in values):
            return
        places = {layer.name: key for key, layer in self.layers.items()}
        rounded = [v.tensor.float() for v in values]
        self.replaced |= {n.name: r.double() for n, r in zip(nodes, rounded, strict=True)}
        arrays = [r.numpy().reshape(len(layers), -1) for r in rounded]
        for k, name in enumerate(layers):
            initial = tuple(tuple(array[k].tolist()) for array in arrays)
            key = places[name]
            self.layers[key] = dataclasses.replace(self.layers[key], initial=initial)


def _listed(hx: Any) -> list[Any]:
    return list(hx) if isinstance(hx, list | tuple) else [hx]


def _whiches(base: str) -> str:
    return "hc" if base.startswith("lstm") else "h"
