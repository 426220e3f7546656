"""The packed form: the cells with int8 products of their states, the rest in float16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm.emulate.npu_networks import refused
from edge_lstm_runtime import ConversionError, ModelSpec
from edge_lstm_runtime.backends.rknn.packing import EXACT, PINS, V, X
from edge_lstm_runtime.layers import FEATURES, Layer

from ..quantize import npu_int8
from .builder import Graph, state_name
from .bundle import Weights, finish, states
from .form import Calibration, Form
from .probe import activations
from .symbols import Symbol, Tape

SHAPES = ("Sigmoid", "Tanh", "Relu")
Groups = list[tuple[str, list[int]]]  # an operator, or "" for none, and the parts that it takes


def packed(
    spec: ModelSpec,
    weights: Weights,
    calibration: Calibration,
    *,
    products: Mapping[str, npu_int8.Product] | None = None,
) -> Form:
    """The cells with int8 products and everything else in float16. See `npu_int8`.

    products: the int8 cells, by layer. If they are left out, they are made from `calibration`.
    Raises ConversionError if the int8 cells can't be made of the network.
    """
    network = spec.network
    if why := refused(network):
        raise ConversionError(why)
    if not products:
        products = npu_int8.quantize(spec, weights, calibration)
    builder = _Packed(spec, weights)
    for layer in network.layers:
        builder.add(layer, products.get(layer.name))
    recipe = {
        "io": {"form": "packed", "inputs": builder.slots},
        "float16": builder.float16(),
        "ranges": {name: list(npu_int8.UNIT) for name in builder.unit},
        # They would put the sums' scales back into the weights that were divided by them, and cut
        # the product in two.
        "disable_rules": ["fuse_mul_into_conv", "replace_mul_add_by_bn", "fuse_concat_conv"],
    }
    shape = {name: (1, size, 1, 1) for name, size in network.state.items()}
    outputs = {"y": (1, spec.answer.size, 1, 1), **states(spec, "out", shape)}
    return Form(
        "packed", builder.graph.model("packed", builder.inputs, outputs), recipe, builder.traced
    )


def _groups(used: Sequence[str]) -> Groups:
    """used: the operator of each part of the sums, see `activations`."""
    groups = [(shape, [k for k, u in enumerate(used) if u == shape]) for shape in SHAPES]
    # Each part without one is alone: if a Split has a Split as its input, the converter joins the
    # two and then misses the tensor between them.
    alone = [("", [k]) for k, u in enumerate(used) if not u]
    return [group for group in (*groups, *alone) if group[1]]


class _Packed:
    """The packed graph, made layer by layer. unit: the tensors on the grid of 1/127."""

    def __init__(self, spec: ModelSpec, weights: Weights) -> None:
        self.graph = Graph()
        self.inputs: dict[str, tuple[int, ...]] = {FEATURES: (1, spec.inputs.feature_size, 1, 1)}
        self.slots = [[X, ""]]
        self.unit: list[str] = []
        self.traced: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._spec = spec
        self._weights = weights
        self._values = {FEATURES: FEATURES}  # and each layer's output

    def add(self, layer: Layer, product: npu_int8.Product | None) -> None:
        own = self._spec.network.own(layer, self._weights)
        if product is None:
            self._add_float16(layer, own)
            return
        groups = _groups(activations(layer))
        sums = self._sums(layer, product, [k for _, parts in groups for k in parts])
        split: list[str] = []  # the tensors that a Split takes apart
        tape = _GivenSums(self.graph, layer.name, groups, (sums, len(product.bias)), split)
        exact: list[str] = []
        before = {
            name: _Read(tape, state_name(f"{layer.name}.{name}", "in"), name, exact)
            for name in self._state_names(layer)
        }

        def of_product(name: str, v: Any) -> Any:
            return _Nothing() if name in ("W_x", "W_h") else tape.product(v, own[name])

        y, after = layer.cell(tape, of_product, own, _Nothing(), before)
        for name in self._state_names(layer):
            if name in exact:
                self._exact(layer, name, tape)
        self._values[layer.name] = finish(self._spec, layer, tape, y, after)
        self._trace(layer, tape, split)

    def _add_float16(self, layer: Layer, own: Weights) -> None:
        """A layer that has no state, or doesn't multiply it."""
        tape = Tape(self.graph, layer.name)
        x = tape.join([Symbol(tape, self._values[name]) for name in layer.inputs])
        before = {name: self._exact(layer, name, tape) for name in self._state_names(layer)}
        y, after = layer.cell(tape, lambda name, v: tape.product(v, own[name]), own, x, before)
        self._values[layer.name] = finish(self._spec, layer, tape, y, after)

    def _state_names(self, layer: Layer) -> list[str]:
        return list(self._spec.network.own(layer, self._spec.network.state))

    def _exact(self, layer: Layer, state: str, tape: Tape) -> Symbol:
        """A state as it is: an input of the graph."""
        name = f"{layer.name}.{state}"
        self.slots.append([EXACT, name])
        tensor = state_name(name, "in")
        self.inputs[tensor] = (1, self._spec.network.state[name], 1, 1)
        return Symbol(tape, tensor)

    def _sums(self, layer: Layer, product: npu_int8.Product, order: Sequence[int]) -> str:
        """The int8 product of v, the float16 product of the other inputs, and the sums of both in
        float16, the parts in that order. Returns the sums' name."""
        g = self.graph
        network = self._spec.network
        prefix = layer.name
        state = f"{prefix}.{layer.recurrent}"
        H = network.state[state]
        v = f"{prefix}_v"
        self.slots.append([V, state])
        self.inputs[v] = (1, PINS + H, 1, 1)
        self.unit.append(v)
        W = product.weights
        W = np.concatenate([W[:PINS], W[len(W) - H :], W[PINS : len(W) - H]])

        def ordered(array: NDArray[np.float64]) -> NDArray[np.float32]:
            blocks = np.split(array.astype(np.float32), len(order), axis=-1)
            return np.concatenate([blocks[k] for k in order], axis=-1)

        bounded = {found.name for found in network.layers if found.bounded}
        inside = [self._values[name] for name in layer.inputs if name in bounded]
        others = [self._values[name] for name in layer.inputs if name not in bounded]
        if inside:
            v = g.add("Concat", [v, *inside], f"{prefix}_joined", axis=1)
            self.unit.append(v)
        linear = g.convolution(v, ordered(W), ordered(product.bias), f"{prefix}_linear")
        self.unit.append(linear)
        scale = g.constant(f"{prefix}_scale", ordered(product.scale).reshape(1, -1, 1, 1))
        scaled = g.add("Mul", [linear, scale], f"{prefix}_scaled")
        centre = ordered(product.centre)
        if others:
            x = others[0]
            if len(others) > 1:
                x = g.add("Concat", others, f"{prefix}_others", axis=1)
            outer = g.convolution(x, ordered(product.W_x), centre, f"{prefix}_outer")
        else:
            outer = g.constant(f"{prefix}_centre", centre.reshape(1, -1, 1, 1))
        return g.add("Add", [scaled, outer], f"{prefix}_sums")

    def _trace(self, layer: Layer, tape: Tape, split: Sequence[str]) -> None:
        """The converter crashes (SIGFPE) if a part of a Split is an output. So the Split's input is
        traced instead, with all parts in it, if each has a name."""
        parts_of = {name: part for part, name in tape.kept.items()}
        hidden = set()
        for end in split:
            node = next(n for n in self.graph.nodes if n.op_type == "Split" and end in n.input)
            hidden |= set(node.output)
            names = [parts_of.get(output, "") for output in node.output]
            if all(names):
                whole = tape.rename(Symbol(tape, end), f"{layer.name}_{'_'.join(names)}")
                self.traced[whole] = (layer.name, tuple(names))
        for part, name in tape.kept.items():
            if name not in hidden:
                self.traced[name] = (layer.name, (part,))

    def float16(self) -> list[str]:
        """Every tensor that an operator makes, but the int8 products and their inputs."""
        made = [output for node in self.graph.nodes for output in node.output if output]
        return [name for name in made if name not in self.unit]


class _Read(Symbol):
    """A state. It is an input of the graph only if the cell reads it beside its product."""

    def __init__(self, tape: Tape, tensor: str, state: str, exact: list[str]) -> None:
        super().__init__(tape, tensor)
        self._state = state
        self._exact = exact

    @property
    def name(self) -> str:
        if self._state not in self._exact:
            self._exact.append(self._state)
        return super().name


class _Nothing:
    """Stands for the products of x and h, which are not computed because their sums are given."""

    def _nothing(self, _: Any) -> _Nothing:
        return self

    __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __rsub__ = _nothing


class _GivenSums(Tape):
    """A tape for a cell whose products of x and h are not computed: the graph has their sums.

    `split` hands out the parts with their activations applied, a group of them at once.

    sums     the tensor and its size
    further  takes the names of the activated tensors that are split into parts
    """

    def __init__(
        self, graph: Graph, prefix: str, groups: Groups, sums: tuple[str, int], further: list[str]
    ) -> None:
        super().__init__(graph, prefix)
        self._groups = groups
        self._given, self._size = sums
        self._further = further
        self._activated: set[str] = set()

    def sums(self, value: Any) -> Any:  # noqa: ARG002
        return None

    def split(self, sums: Any, parts: int) -> tuple[Any, ...]:
        if isinstance(sums, _Nothing):
            return (sums,) * parts
        return super().split(sums, parts) if sums is not None else self._parts()

    def join(self, parts: list[Any]) -> Any:
        return parts[0] if isinstance(parts[0], _Nothing) else super().join(parts)

    def symbol(self, value: Any) -> Symbol:
        if isinstance(value, _Nothing):
            raise ConversionError(
                f"the cell of layer {self.prefix!r} reads its input beside the product with W_x, "
                "and the int8 cell has that product alone"
            )
        return super().symbol(value)

    def activation(self, operator: str, a: Any) -> Symbol:
        if isinstance(a, Symbol) and a.name in self._activated:
            self._activated.discard(a.name)  # if it is activated again, that is one more operator
            return a
        return super().activation(operator, a)

    def _parts(self) -> tuple[Symbol, ...]:
        """The parts of the sums, in the cell's order."""
        g = self.graph
        prefix = self.prefix
        ends = [self._given]
        if len(self._groups) > 1:
            ends = [f"{prefix}_group{n}" for n in range(len(self._groups))]
            lengths = np.array([len(parts) for _, parts in self._groups])
            size = self._size // lengths.sum()
            sizes = g.constant(f"{prefix}_sizes", (size * lengths).astype(np.int64))
            g.add("Split", [self._given, sizes], ends, axis=1)
        found: dict[int, str] = {}
        for end, (operator, parts) in zip(ends, self._groups, strict=True):
            if operator:
                end = g.add(operator, [end], f"{end}_active")
            names = [end]
            if len(parts) > 1:
                names = [f"{prefix}_part{k}" for k in parts]
                g.add("Split", [end], names, axis=1, num_outputs=len(parts))
                self._further.append(end)
            if operator:
                self._activated |= set(names)
            found |= zip(parts, names, strict=True)
        return tuple(Symbol(self, found[k]) for k in sorted(found))
