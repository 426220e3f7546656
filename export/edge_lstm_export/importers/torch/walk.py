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

from edge_lstm_runtime.errors import BundleError, ConversionError
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.model.network import Network

from .axes import CASTS, PERMUTED, RESHAPED, SAME
from .pointwise import ACTIVATIONS
from .recurrent import KINDS, Recurrent
from .run import ANSWER, Program
from .values import (
    ODD,
    Const,
    FaultError,
    Rows,
    State,
    Value,
    base_of,
    kind_of,
    module_of,
    shape_of,
)

MADE = (
    *("zeros", "zeros_like", "new_zeros", "full", "full_like", "new_full"),
    *("ones", "ones_like", "new_ones"),
)
ASSERTED = {"_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size"}
ARITHMETIC = ("add", "sub", "mul", "div")
BATCH_NORM = ("batch_norm", "_native_batch_norm_legit_no_training")
FOLDED = {  # of constants
    *(*SAME, *RESHAPED, *PERMUTED, *ARITHMETIC, *ACTIVATIONS),
    *("select", "slice", "cat", "stack", "repeat", "chunk", "split", "unbind", "exp", "sqrt"),
    *("rsqrt", "pow", "neg", "softplus", "softmax", "sum", "norm", "linalg_vector_norm"),
    *("_weight_norm", "_weight_norm_interface"),
}
LARGEST = 1 << 24  # values of a constant that the net makes
POOLING = "pools over time, which needs whole sequences"
ATTENTION = "is attention over time, which needs whole sequences"
WHY = {  # the beginning of an operator's name -> why it can't be taken
    "conv": "is a convolution in two or three dimensions, which there is no layer for",
    "scaled_dot": ATTENTION,
    "_native_multi_head": ATTENTION,
    "mean": POOLING,
    "sum": POOLING,
    "max": POOLING,
    "amax": POOLING,
    "avg_pool": POOLING,
    "adaptive": POOLING,
    "group_norm": "is a group normalization, which there is no layer for",
    "instance_norm": "normalizes over time, which needs whole sequences",
    "_pack_padded": "packs sequences of several lengths; export with one plain sequence",
}


@dataclasses.dataclass
class Walk(Recurrent):
    """nodes: of the graph, in order. inputs: x and the given states. outputs: y, then others.

    last     whether the steps are the last axis of x, (1, F, T)
    x_shape  of x
    whole_numbers  whether x is of integers
    faults   what can't be taken -> the nodes
    """

    nodes: list[Any]
    inputs: list[str]
    outputs: list[str]
    last: bool = False
    x_shape: tuple[int, ...] = dataclasses.field(default=(), init=False)
    whole_numbers: bool = dataclasses.field(default=False, init=False)
    faults: dict[str, list[str]] = dataclasses.field(default_factory=dict, init=False)

    # --- the walk ---

    def run(self) -> None:
        """Raises ConversionError with all that can't be taken."""
        for node in self.nodes:
            if node.op == "placeholder":
                self._enter(node)
            elif node.op == "call_function":
                try:
                    self.values[node.name] = self._value(node)
                    self._share(node)
                except FaultError as e:
                    self.values[node.name] = None
                    self._fault(node, str(e))
                except ODD as e:
                    self.values[node.name] = None
                    self._fault(node, f"is called in a way that is not known: {e} [{node.target}]")
        if self.faults:
            listed = [
                f"{names[0]!r}{f' (and {len(names) - 1} more)' if names[1:] else ''} {what}"
                for what, names in self.faults.items()
            ]
            raise ConversionError(f"can't take {'; '.join(listed)}")

    def _fault(self, node: Any, what: str) -> None:
        module = module_of(node)
        if "Attention" in kind_of(node):
            what = ATTENTION
        inside = f" (in {module})" if module else ""
        self.faults.setdefault(what + inside, []).append(node.name)

    def _enter(self, node: Any) -> None:
        name = node.name
        if name in self.inputs and not hasattr(node.meta["val"], "shape"):
            raise ConversionError(f"input {name!r} is a number, expected tensors alone")
        if name in self.tensors:
            self.values[name] = Const(self.tensors[name])
        elif name == self.inputs[0]:
            self.values[name] = self._features(node)
        elif name in self.inputs:
            count = math.prod(shape_of(node)[:-1])
            self.values[name] = State(tuple((name, str(k)) for k in range(count)), -1)

    def _features(self, node: Any) -> Rows:
        shape = shape_of(node)
        self.x_shape = shape
        if not node.meta["val"].dtype.is_floating_point:
            self.whole_numbers = True
            self.steps = math.prod(shape)
            self.sizes[FEATURES] = 1
            if len(shape) != 2 or 1 not in shape:
                raise ConversionError(
                    f"input {node.name!r} has whole numbers and the shape {shape}: expected one "
                    "batch row, (1, steps)"
                )
            return Rows((FEATURES,), ("1", "T") if shape[0] == 1 else ("T", "1"))
        if self.last:
            self.steps = shape[2]
            self.sizes[FEATURES] = shape[1]
            return Rows((FEATURES,), ("1", "F", "1" if shape[2] == 1 else "T"))
        rows = [n for n in shape[:-1] if n != 1]
        if len(shape) < 2 or len(rows) > 1:
            raise ConversionError(
                f"input {node.name!r} has the shape {shape}: expected one batch row, "
                "(1, steps, features), (steps, 1, features), (steps, features) or (1, features)"
            )
        self.steps = math.prod(rows)
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
            **dict.fromkeys(("matmul", "mm", "addmm"), self._matmul),
            **dict.fromkeys(
                (f"{n}{end}" for n in ARITHMETIC for end in ("", "_")), self._arithmetic
            ),
            "rsub": self._arithmetic,
            "neg": self._negative,
            **dict.fromkeys(("silu", "silu_", "glu"), self._gated),
            **dict.fromkeys(("prelu", "leaky_relu", "leaky_relu_"), self._prelu),
            **dict.fromkeys(("softmax", "_softmax"), self._softmax),
            "layer_norm": self._layer_norm,
            **dict.fromkeys(BATCH_NORM, self._batch_norm),
            **dict.fromkeys(("pad", "constant_pad_nd"), self._pad),
            "conv1d": self._conv1d,
            "embedding": self._embedding,
            **dict.fromkeys(("chunk", "split", "split_with_sizes"), self._chunks),
            "cat": self._cat,
            "stack": self._stack,
            "select": self._select,
            "unbind": self._unbind,
            "slice": self._slice,
            **dict.fromkeys((f"{n}{e}" for n in ACTIVATIONS for e in ("", "_")), self._activation),
            **dict.fromkeys(SAME, self._same),
            **dict.fromkeys(RESHAPED, self._reshaped),
            **dict.fromkeys(PERMUTED, self._permuted),
            **dict.fromkeys((f"{kind}_cell" for kind in KINDS), self._cell),
        }
        if base in KINDS and str(node.target).endswith(".input"):
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
        if math.prod(shape_of(node)) > LARGEST:
            raise FaultError(f"makes a constant of the shape {shape_of(node)}, too large")
        return Const(torch.full(shape_of(node), fill, dtype=torch.float64))

    def _folded(self, node: Any, base: str) -> Value:
        import torch

        if base not in FOLDED:
            self._unknown(node, base)

        def tensor(n: Any) -> Any:
            value = self.values[n.name]
            assert isinstance(value, Const)
            return value.tensor

        args = torch.fx.map_arg(node.args, tensor)
        if base in CASTS:
            return self._cast(node, args[0])
        value = node.target(*args, **node.kwargs)
        if isinstance(value, tuple | list):
            return tuple(map(Const, value))
        return Const(value)

    def _cast(self, node: Any, tensor: Any) -> Value:
        import torch

        wanted = node.meta["val"].dtype
        if wanted in (torch.float32, torch.float64):
            return Const(tensor)
        rounded = tensor.to(wanted)
        if rounded.is_floating_point():
            self.replaced[node.name] = rounded.double()
        return Const(rounded)

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
        layer = rows.parts[0]
        if rows.parts[1:] or layer == FEATURES:
            layer = self._combined("concat", [rows], node).parts[0]
        axis = rows.axes.index("T") if "T" in rows.axes else None
        self.found[layer] = ({None: ANSWER}, axis)  # the proof reads it, and not a twin of it
        return layer

    def network(self) -> Network:
        """The layers that the output needs. Raises ConversionError."""
        needed = {self.answer()}
        layers: list[Layer] = []
        for layer in reversed(self.layers.values()):
            if layer.name in needed:
                layers.insert(0, layer)
                needed |= set(layer.inputs)
        names = {layer.name for layer in layers}
        if not any(layer.whole or layer.state(1) for layer in layers):
            raise ConversionError(
                "no layer of the net has a state, and edge-lstm is for nets that have one"
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

    def notes(self) -> list[str]:
        """What a user must know, a sentence each."""
        found = []
        x = next(node for node in self.nodes if node.name == self.inputs[0])
        if any(type(n) is not int for n in x.meta["val"].shape):
            found.append("The number of batch rows may vary in the file. It is 1 here.")
        if self.steps == 1 and not self.given:
            found.append(
                "The net takes one step and no state: each call of it begins in the zero state. "
                "Here the state is carried from step to step."
            )
        for name in self.outputs[1:]:
            value = self.values[name]
            if isinstance(value, Rows) and self._state(value) is None:
                found.append(f"The output {name!r} is left out: the first one is the answer.")
        return found

    def _runs(self, node: Any) -> bool:
        called = node.op == "call_function" and base_of(node) not in ASSERTED
        return called and node.name not in self.replaced

    def original(self, tool: str, *, whole: bool) -> Program:
        """What the network is proved against. whole: each window begins anew."""
        import torch

        values = {n: t.double() if t.is_floating_point() else t for n, t in self.tensors.items()}
        for node in self.nodes:
            if node.name in self.inputs[1:]:
                values[node.name] = torch.zeros(shape_of(node), dtype=torch.float64)
        values |= self.replaced
        given = self.pairs()
        taken = {self.starts[layer] for layer, _ in self.given.values()}
        loops = {
            first: last for first, last in self.loops.items() if first not in taken and not whole
        }
        return Program(
            tool,
            [n for n in self.nodes if self._runs(n)],
            values,
            self.inputs[0],
            self.x_shape,
            self.last,
            self.whole_numbers,
            self.steps,
            loops,
            given,
            {} if whole else self.pasts,
            {name: (list(nodes.values()), axis) for name, (nodes, axis) in self.found.items()},
            self.outputs[0],
        )
