"""The graph of torch.export, node by node, becomes a network.

The graph has its sizes: W steps, one batch row, F features. Each value is one of

    Rows     the outputs of earlier layers, or the features, at all steps or at one of them
    State    h or c of recurrent layers, given from outside or after a step
    Const    a tensor that depends on no input: a weight, zeros
    None     what can't be taken. The reason is in `faults`, and what reads it is passed over

A layer is known by its operator, its inputs and its weights. A loop over the steps that is unrolled
meets the same layer at each step, and finds the one of the first step.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import BundleError, ConversionError
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.gru import Gru
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.layers.rnn import Rnn
from edge_lstm_runtime.model.network import Network

from . import Float32
from ._rows import canonical
from ._torch_run import Exported

Axes = tuple[str, ...]  # "T" steps, "F" features, "1" neither, of size 1

ACTIVATIONS = {"tanh": "tanh", "sigmoid": "sigmoid", "relu": "relu", "relu_": "relu"}
SAME = (
    *("dropout", "dropout_", "clone", "contiguous", "detach", "detach_", "alias"),
    *("lift_fresh_copy", "to", "_to_copy"),
)
MADE = (
    *("zeros", "zeros_like", "new_zeros", "full", "full_like", "new_full"),
    *("ones", "ones_like", "new_ones"),
)
RESHAPED = (
    "view",
    "reshape",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "expand",
    "expand_as",
)
PERMUTED = {"transpose", "permute", "t", "swapaxes"}
ASSERTED = {"_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size"}
SEQUENCES = {"lstm": "lstm", "gru": "gru", "rnn_tanh": "rnn", "rnn_relu": "rnn"}
POOLING = "pools over time, which needs whole sequences"
NEIGHBOURS = "is a convolution, which there is no layer for yet"
WHY = {  # the beginning of an operator's name -> why it can't be taken
    "conv": NEIGHBOURS,
    "scaled_dot": "is attention over time, which needs whole sequences",
    "multi_head": "is attention over time, which needs whole sequences",
    "_native_multi_head": "is attention over time, which needs whole sequences",
    "mean": POOLING,
    "sum": POOLING,
    "max": POOLING,
    "amax": POOLING,
    "avg_pool": POOLING,
    "adaptive": POOLING,
    "mul": "is a product of layers, which there is no layer for yet",
    "layer_norm": "is a normalization, which there is no layer for yet",
    "batch_norm": "is a normalization, which there is no layer for yet",
    "embedding": "is an embedding, which there is no layer for yet",
    "_pack_padded": "packs sequences of several lengths; export with one plain sequence",
}


@dataclasses.dataclass(frozen=True)
class Rows:
    """parts: layers, or FEATURES, side by side. at: a step, None for all."""

    parts: tuple[str, ...]
    axes: Axes
    at: int | None = None


@dataclasses.dataclass(frozen=True)
class State:
    """items: (layer or placeholder, "h", "c" or its row). at: after this step, -1 if given."""

    items: tuple[tuple[str, str], ...]
    at: int


@dataclasses.dataclass(frozen=True)
class Const:
    tensor: Any


Value = Rows | State | Const | tuple[Any, ...] | None


class FaultError(Exception):
    """Why a node can't be taken."""


@dataclasses.dataclass
class Walk:
    """steps: W. tensors: placeholder -> a weight."""

    nodes: list[Any]
    tensors: dict[str, Any]
    inputs: list[str]
    outputs: list[str]
    steps: int = 1
    x_shape: tuple[int, ...] = ()
    values: dict[str, Value] = dataclasses.field(default_factory=dict)
    layers: dict[Any, Layer] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    weights: dict[str, Float32] = dataclasses.field(default_factory=dict)
    found: dict[str, tuple[list[str], int | None]] = dataclasses.field(default_factory=dict)
    where: dict[str, str] = dataclasses.field(default_factory=dict)
    loops: dict[str, str] = dataclasses.field(default_factory=dict)
    starts: dict[str, str] = dataclasses.field(default_factory=dict)  # layer -> its first node
    given: dict[tuple[str, str], tuple[str, str]] = dataclasses.field(default_factory=dict)
    fused: dict[str, Rows] = dataclasses.field(default_factory=dict)
    faults: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    # --- the walk ---

    def run(self) -> None:
        """Raises ConversionError with all that can't be taken."""
        for node in self.nodes:
            if node.op == "placeholder":
                self._enter(node)
            elif node.op == "call_function":
                try:
                    self.values[node.name] = self._value(node)
                except FaultError as e:
                    self.values[node.name] = None
                    self._fault(node, str(e))
        if self.faults:
            listed = [
                f"{names[0]!r}{f' and {len(names) - 1} like it' if names[1:] else ''} {what}"
                for what, names in self.faults.items()
            ]
            raise ConversionError(f"can't take {'; '.join(listed)}")

    def _fault(self, node: Any, what: str) -> None:
        module = module_of(node)
        inside = f" (in {module})" if module else ""
        self.faults.setdefault(what + inside, []).append(node.name)

    def _enter(self, node: Any) -> None:
        name = node.name
        if name in self.tensors:
            self.values[name] = Const(self.tensors[name])
        elif name == self.inputs[0]:
            self.values[name] = self._features(node)
        elif name in self.inputs:
            count = math.prod(shape_of(node)[:-1])
            self.values[name] = State(tuple((name, str(k)) for k in range(count)), -1)

    def _features(self, node: Any) -> Rows:
        shape = shape_of(node)
        rows = [n for n in shape[:-1] if n != 1]
        if len(shape) < 2 or len(rows) > 1:
            raise ConversionError(
                f"input {node.name!r} has the shape {shape}: expected one batch row, "
                "(1, steps, features), (steps, 1, features), (steps, features) or (1, features)"
            )
        self.steps = math.prod(rows)
        self.x_shape = shape
        self.sizes[FEATURES] = shape[-1]
        return Rows((FEATURES,), (*("1" if n == 1 else "T" for n in shape[:-1]), "F"))

    def _value(self, node: Any) -> Value:
        base = base_of(node)
        if "getitem" in str(node.target):
            source = self.values[node.args[0].name]
            return source[node.args[1]] if isinstance(source, tuple) else None
        if base in ASSERTED or base == "sym_size":
            return None
        read = [self.values[n.name] for n in node.all_input_nodes]
        if base in MADE:
            return self._made(node, base)
        if any(value is None for value in read):
            return None
        if node.name in self.fused:
            return self.fused[node.name]
        if base.endswith("_") and isinstance(read[0], Const):
            raise FaultError(
                f"writes to {node.args[0].name!r}: a state that the net keeps itself is not taken; "
                "make it an argument, and return it"
            )
        if all(isinstance(value, Const) for value in read):
            return self._folded(node, base)
        return self._handler(node, base)(node, base)

    def _handler(self, node: Any, base: str) -> Callable[[Any, str], Value]:
        table: dict[str, Callable[[Any, str], Value]] = {
            "linear": self._linear,
            "add": self._add,
            "cat": self._cat,
            "stack": self._stack,
            "select": self._select,
            "unbind": self._unbind,
            "slice": self._slice,
            **dict.fromkeys(ACTIVATIONS, self._activation),
            **dict.fromkeys(SAME, self._same),
            **dict.fromkeys(RESHAPED, self._reshaped),
            **dict.fromkeys(PERMUTED, self._permuted),
            **dict.fromkeys((f"{kind}_cell" for kind in SEQUENCES), self._cell),
        }
        if base in SEQUENCES and str(node.target).endswith(".input"):
            return self._sequence
        if base in table:
            return table[base]
        return self._unknown

    def _unknown(self, node: Any, base: str) -> Value:
        for start, why in WHY.items():
            if base.startswith(start):
                raise FaultError(f"{why} [{node.target}]")
        raise FaultError(f"is an operator that there is no layer for [{node.target}]")

    # --- constants ---

    def _made(self, node: Any, base: str) -> Value:
        import torch

        fill = 0.0 if "zeros" in base else 1.0
        if "full" in base:
            fill = node.args[1 if base != "new_full" else 2]
        return Const(torch.full(shape_of(node), fill, dtype=torch.float64))

    def _folded(self, node: Any, base: str) -> Value:
        import torch

        if base not in {*SAME, *RESHAPED, *PERMUTED, "select", "slice", "cat", "stack"}:
            self._unknown(node, base)

        def tensor(n: Any) -> Any:
            value = self.values[n.name]
            assert isinstance(value, Const)
            return value.tensor

        args = torch.fx.map_arg(node.args, tensor)
        return Const(node.target(*args) if base not in ("to", "_to_copy") else args[0])

    # --- what only moves axes ---

    def _same(self, node: Any, base: str) -> Value:
        if base.startswith("dropout") and node.args[1] and node.args[2]:
            raise FaultError(
                "drops values at random: exported in training mode; call net.eval() first"
            )
        return self.values[node.args[0].name]

    def _rows(self, node: Any) -> Rows:
        """The value of a node that a layer reads."""
        value = self.values[node.name]
        if isinstance(value, State) and len(value.items) == 1 and value.at >= 0:
            name, which = value.items[0]
            if which == "h":
                last = len(shape_of(node)) - 1
                return Rows((name,), (*("1",) * last, "F"), self._at(value.at))
        if not isinstance(value, Rows):
            kind = "a state" if isinstance(value, State) else "a constant"
            raise FaultError(
                f"reads {kind}, {node.name!r}, expected features or the output of a layer"
            )
        return value

    def _at(self, step: int) -> int | None:
        return step if self.steps > 1 else None

    def _reshaped(self, node: Any, base: str) -> Value:  # noqa: ARG002
        value = self.values[node.args[0].name]
        shape = shape_of(node)
        old = shape_of(node.args[0])
        if isinstance(value, State):
            if shape[-1] != old[-1] or math.prod(shape[:-1]) != len(value.items):
                raise FaultError("takes a state apart in a way that is not known")
            return value
        rows = self._rows(node.args[0])
        big = [(n, axis) for n, axis in zip(old, rows.axes, strict=True) if n != 1]
        if [n for n, _ in big] != [n for n in shape if n != 1]:
            raise FaultError(f"makes {shape} of {old}, and so mixes steps and features")
        left = iter(big)
        axes = ["1" if n == 1 else next(left)[1] for n in shape]
        if "F" not in axes and axes[-1] == "1":
            axes[-1] = "F"  # a single feature
        return dataclasses.replace(rows, axes=tuple(axes))

    def _permuted(self, node: Any, base: str) -> Value:
        rows = self._rows(node.args[0])
        order = list(range(len(rows.axes)))
        if base == "permute":
            order = [n % len(order) for n in node.args[1]]
        else:
            one, other = node.args[1:] if base != "t" else (0, -1)
            order[one], order[other] = order[other], order[one]
        return dataclasses.replace(rows, axes=tuple(rows.axes[n] for n in order))

    def _select(self, node: Any, base: str) -> Value:  # noqa: ARG002
        axis, index = node.args[1:]
        return self._one(node.args[0], axis, index)

    def _unbind(self, node: Any, base: str) -> Value:  # noqa: ARG002
        axis = node.args[1] if len(node.args) > 1 else 0
        count = shape_of(node.args[0])[axis]
        return tuple(self._one(node.args[0], axis, k) for k in range(count))

    def _one(self, node: Any, axis: int, index: int) -> Value:
        value = self.values[node.name]
        shape = shape_of(node)
        axis %= len(shape)
        if isinstance(value, State):
            if shape[axis] == 1:
                return value
            if axis == len(shape) - 1:
                raise FaultError("takes single values out of a state")
            return dataclasses.replace(value, items=(value.items[index],))
        rows = self._rows(node)
        kind = rows.axes[axis]
        axes = rows.axes[:axis] + rows.axes[axis + 1 :]
        if kind == "F" and shape[axis] > 1:
            raise FaultError("takes one of several features, which there is no layer for yet")
        if kind == "T":
            return Rows(rows.parts, axes, index % self.steps)
        return dataclasses.replace(rows, axes=axes)

    def _slice(self, node: Any, base: str) -> Value:  # noqa: ARG002
        value = self.values[node.args[0].name]
        axis = node.args[1] if len(node.args) > 1 else 0
        shape = shape_of(node)
        if shape == shape_of(node.args[0]):
            return value
        start, end = (*node.args[2:4], None, None)[:2]
        if isinstance(value, State) and axis == 0 and len(node.args) < 5:
            return dataclasses.replace(value, items=value.items[start:end])
        if isinstance(value, Rows) and value.axes[axis] == "T" and shape[axis] == 1:
            at = range(self.steps)[start:end][0]
            return Rows(value.parts, _swap(value.axes, axis, "1"), at)
        raise FaultError(
            "takes some of the steps or of the features, which there is no layer for yet"
        )

    def _stack(self, node: Any, base: str) -> Value:
        axis = node.args[1] if len(node.args) > 1 else 0
        return self._together(node, base, axis % len(shape_of(node)), new=True)

    def _cat(self, node: Any, base: str) -> Value:
        axis = (node.args[1] if len(node.args) > 1 else 0) % len(shape_of(node))
        values = [self.values[n.name] for n in node.args[0]]
        if any(isinstance(value, State) for value in values):
            return self._together(node, base, axis, new=False)
        rows = [self._rows(n) for n in node.args[0]]
        if rows[0].axes[axis] != "F":
            return self._together(node, base, axis, new=False)
        self._alike(rows)
        return dataclasses.replace(rows[0], parts=sum((r.parts for r in rows), ()))

    def _together(self, node: Any, base: str, axis: int, new: bool) -> Value:
        """Single steps to all of them, or states of layers to one."""
        values = [self.values[n.name] for n in node.args[0]]
        states = [s for v in values if (s := self._state(v))]
        rows = [v for v in values if isinstance(v, Rows)]
        axes = rows[0].axes if rows else ()
        steps = "T" if self.steps > 1 else "1"
        grown = (*axes[:axis], steps, *axes[axis + (not new) :])
        every = [self._at(step) for step in range(self.steps)]
        complete = len(rows) == len(values) and [r.at for r in rows] == every
        alike = len({(r.parts, r.axes) for r in rows}) == 1 and (new or axes[axis] == "1")
        if complete and alike:
            return Rows(rows[0].parts, grown)
        if len(states) == len(values) and len({s.at for s in states}) == 1:
            return State(sum((s.items for s in states), ()), states[0].at)
        raise FaultError(f"puts parts together that are not each step once, in order [{base}]")

    def _state(self, value: Value) -> State | None:
        """The value as a state: the output of a recurrent layer at one step is its h."""
        if isinstance(value, Rows) and len(value.parts) == 1 and value.parts[0] in self.starts:
            at = 0 if self.steps == 1 else value.at
            return None if at is None else State(((value.parts[0], "h"),), at)
        return value if isinstance(value, State) else None

    def _alike(self, rows: list[Rows]) -> None:
        if len({r.at for r in rows}) > 1:
            raise FaultError("reads several steps at once, which there is no layer for yet")
        if len({r.axes for r in rows}) > 1:
            raise FaultError("reads parts whose axes differ")

    # --- layers ---

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
        if not all(hasattr(n, "name") and isinstance(self.values[n.name], Rows) for n in nodes):
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
            layer = Dense(self._name("dense"), rows.parts, len(b), activation)
            self._keep(key, layer, node)
            self.weights[f"{layer.name}.W"] = np.ascontiguousarray(W, np.float32)
            self.weights[f"{layer.name}.b"] = np.asarray(b, np.float32)
        name = self.layers[key].name
        self._seen(name, node, rows.axes)
        return Rows((name,), rows.axes, rows.at)

    def _keep(self, key: Any, layer: Any, node: Any, part: str = "") -> None:
        self.layers[key] = layer
        self.sizes[layer.name] = layer.outputs(1)
        self.where[layer.name] = (module_of(node) or node.name) + part

    def _seen(self, layer: str, node: Any, axes: Axes) -> None:
        axis = axes.index("T") if "T" in axes else None
        self.found.setdefault(layer, ([], axis))[0].append(node.name)

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
        (item,) = (n for n in node.users if n.args[1] == 0) if len(node.users) else (None,)
        if item is not None:
            self._seen(layers[-1], item, rows.axes)
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
                    raise FaultError(
                        f"reads {n.name!r}, which is not its own {which} of the step before"
                    )
        else:
            name = self._recurrent(key, kind, rows.parts, params, node, "")
            if step:
                raise FaultError("begins after the first step")
            self._initial(node, hx, [name])
        self.loops[self.starts[name]] = node.name
        after = self._at(step)
        output = Rows((name,), rows.axes, after)
        if kind != "lstm":
            self._seen(name, node, rows.axes)
            return output
        for n in node.users:
            if n.args[1] == 0:
                self._seen(name, n, rows.axes)
        return output, State(((name, "c"),), step)

    def _recurrent(
        self, key: Any, base: str, parts: tuple[str, ...], params: list[Any], node: Any, part: str
    ) -> str:
        """The name of a new layer. params: W_x, W_h and perhaps the two biases."""
        W_x, W_h, *biases = [self._constant(p) for p in params]
        units = W_h.shape[1]
        kind = SEQUENCES[base]
        name = self._name(kind)
        layer: Layer
        if kind == "lstm":
            layer = Lstm(name, parts, units)
        elif kind == "gru":
            layer = Gru(name, parts, units)
        else:
            layer = Rnn(name, parts, units, "relu" if base.endswith("relu") else "tanh")
        b_x, b_h = biases or (np.zeros(len(W_x)), np.zeros(len(W_x)))
        if biases:
            summed = len(b_h) - (units if kind == "gru" else 0)
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
                        raise FaultError(
                            f"takes the state {item[0]!r}, which another layer takes too"
                        )
                    self.given[item] = (layer, which)
            else:
                raise FaultError(
                    f"begins with {n.name!r}, which is neither zeros nor a given state"
                )

    # --- the result ---

    def answer(self) -> str:
        """The layer that is the output. Raises ConversionError."""
        name = self.outputs[0]
        node = next(n for n in self.nodes if n.name == name)
        try:
            rows = self._rows(node)
            if rows.at is not None:
                raise FaultError(f"answers step {rows.at} of {self.steps} alone: it {POOLING}")
        except FaultError as e:
            raise ConversionError(f"output {name!r} {e}") from e
        if len(rows.parts) == 1 and rows.parts[0] not in {FEATURES, *self.starts}:
            return rows.parts[0]  # the head of a network is dense
        size = self._size(rows)
        return self._dense("output", rows, node, np.eye(size), np.zeros(size), "none").parts[0]

    def network(self) -> Network:
        """The layers that the output needs. Raises ConversionError."""
        needed = {self.answer()}
        layers: list[Layer] = []
        for layer in reversed(self.layers.values()):
            if layer.name in needed:
                layers.insert(0, layer)
                needed |= set(layer.inputs)
        names = {layer.name for layer in layers}
        if not names & set(self.starts):
            raise ConversionError(
                "the net has no recurrent layer: its answers need no state, and edge-lstm is for "
                "nets that have one"
            )
        self.weights = {n: w for n, w in self.weights.items() if n.split(".")[0] in names}
        self.found = {n: f for n, f in self.found.items() if n in names}
        try:
            return Network(self.sizes[FEATURES], tuple(layers))
        except BundleError as e:
            raise ConversionError(str(e)) from e

    def pairs(self) -> dict[str, str]:
        """Placeholder of a state -> the output that is its next value. Raises ConversionError."""
        after: dict[tuple[tuple[str, str], ...], str] = {}
        for name in self.outputs:
            if (state := self._state(self.values[name])) and state.at == self.steps - 1:
                after.setdefault(state.items, name)
        found = {}
        for name in self.inputs[1:]:
            value = self.values[name]
            assert isinstance(value, State)
            wanted = tuple(self.given.get(item, ("", "")) for item in value.items)
            if ("", "") in wanted:
                raise ConversionError(f"input {name!r} is no state of a recurrent layer")
            if wanted not in after:
                listed = ", ".join(f"{which} of {self.where[n]!r}" for n, which in wanted)
                raise ConversionError(
                    f"input {name!r} is {listed}, and no output returns its next value"
                )
            found[name] = after[wanted]
        return found

    def original(self, tool: str) -> Exported:
        """What the network is proved against."""
        import torch

        values = {n: t.double() if t.is_floating_point() else t for n, t in self.tensors.items()}
        for node in self.nodes:
            if node.name in self.inputs[1:]:
                values[node.name] = torch.zeros(shape_of(node), dtype=torch.float64)
        given = self.pairs()
        taken = {self.starts[layer] for layer, _ in self.given.values()}
        loops = {first: last for first, last in self.loops.items() if first not in taken}
        return Exported(
            tool,
            [n for n in self.nodes if n.op == "call_function" and base_of(n) not in ASSERTED],
            values,
            self.inputs[0],
            self.x_shape,
            self.steps,
            loops,
            given,
            self.found,
        )


def shape_of(node: Any) -> tuple[int, ...]:
    """A size that may vary is the batch, and counts as 1."""
    return tuple(n if type(n) is int else 1 for n in node.meta["val"].shape)


def base_of(node: Any) -> str:
    """The name of its operator: "lstm" of aten.lstm.input."""
    return str(node.target).removeprefix("aten.").split(".")[0]


def module_of(node: Any) -> str:
    """The path of the module that a node is from, "" if it is the whole net or unknown."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def _listed(hx: Any) -> list[Any]:
    return list(hx) if isinstance(hx, list | tuple) else [hx]


def _whiches(base: str) -> str:
    return "hc" if base.startswith("lstm") else "h"


def _swap(axes: Axes, place: int, axis: str) -> Axes:
    return (*axes[:place], axis, *axes[place + 1 :])


def _activated(node: Any) -> tuple[Any, str]:
    """The activation that alone reads a node, and its name. Else the node itself, and "none"."""
    users = list(node.users)
    if len(users) == 1:
        base = base_of(users[0])
        if base in ACTIVATIONS:
            return users[0], ACTIVATIONS[base]
    return node, "none"
