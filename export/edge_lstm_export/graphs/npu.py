"""The forms in which a model is offered to an NPU's converter, and how each is to be built.

The best by measurement is kept. `edge_lstm_runtime.backends.rknn.packing` says what the inputs and
outputs of each form hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_lstm.emulate.npu_ranges import input_parts, input_range
from edge_lstm_runtime import ConversionError, ModelSpec
from edge_lstm_runtime.backends.rknn.packing import EXACT, PINS, V
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.both_ways import reverse_weights
from edge_lstm_runtime.layers.dense import Dense

from ..npu.targets import known
from ..quantize import npu_int8
from . import bundle
from .builder import Graph, state_name
from .bundle import Weights, attributes, finish, operator_arrays, recurrent, states
from .symbols import GivenSums, Symbol, Tape

Calibration = Mapping[str, NDArray[np.float32]]
ALIGNED = 8  # hidden units: with others the converter puts the Reshape before the head on the CPU
SHAPES = ("Sigmoid", "Tanh", "Relu")


@dataclasses.dataclass(frozen=True)
class Form:
    """graph: ONNX. recipe: what the worker builds it with and the runtime feeds it by; JSON, kept in
    the artifact's manifest row:

    io             see Packing
    float16        tensors that are not quantized
    ranges         tensor -> (min, max), if the calibration set does not decide
    disable_rules  optimizations of the converter that would undo the recipe

    traced: tensors that can be looked at -> the layer and the names by which its cell calls the parts
    """

    name: str
    graph: onnx.ModelProto
    recipe: dict[str, Any]
    traced: Mapping[str, tuple[str, tuple[str, ...]]] = dataclasses.field(default_factory=dict)

    @property
    def steps(self) -> int:
        """That the graph takes at once."""
        steps: int = self.recipe["io"].get("steps", 1)
        return steps

    @property
    def label(self) -> str:
        """For names of files: the form, and its steps if it takes several."""
        return self.name if self.steps == 1 else f"{self.name}-t{self.steps}"

    def with_traces(self, spec: ModelSpec) -> Form:
        """With the traced tensors as further outputs."""
        graph = onnx.ModelProto()
        graph.CopyFrom(self.graph)
        there = {value.name for value in graph.graph.output}
        for name, size in traced_outputs(spec, self).items():
            if name not in there:
                kind = onnx.TensorProto.FLOAT
                graph.graph.output.append(
                    onnx.helper.make_tensor_value_info(name, kind, [1, size, 1, 1])
                )
        onnx.checker.check_model(graph, full_check=True)
        return dataclasses.replace(self, graph=graph)


def traced_outputs(spec: ModelSpec, form: Form) -> dict[str, int]:
    """The outputs of a graph with traces, in order, and their sizes."""
    network = spec.network
    sizes = {"y": spec.answer.size}
    sizes |= {state_name(name, "out"): size for name, size in network.state.items()}
    for name, (layer, parts) in form.traced.items():
        sizes.setdefault(name, len(parts) * network.sizes[layer][1])
    return sizes


def cell(
    spec: ModelSpec,
    weights: Weights,
    calibration: Calibration,  # noqa: ARG001
    *,
    learned: Calibration | None = None,  # noqa: ARG001
) -> Form:
    graph, tapes = bundle.cells(spec, weights)
    traced = {
        tensor: (layer, (part,))
        for layer, tape in tapes.items()
        for part, tensor in tape.kept.items()
    }
    return Form("cell", graph, {"io": {"form": "cell"}}, traced)


def fused(
    spec: ModelSpec,
    weights: Weights,
    calibration: Calibration,  # noqa: ARG001
    *,
    steps: int = 1,
    learned: Calibration | None = None,  # noqa: ARG001
) -> Form:
    """ONNX's operators, over `steps` steps. Raises ConversionError for a network without them.

    Their unused outputs have names, and dense layers are 1x1 convolutions: otherwise the converter
    fails or logs errors.
    """
    network = spec.network
    *inner, head = _operator_chain(spec)
    g = Graph()
    x = "x"
    for k, layer in enumerate(inner):
        _, operator = recurrent(layer)
        assert operator is not None
        ins, outs = (_own_states(spec, layer, suffix) for suffix in ("in", "out"))
        operands = [x, *operator_arrays(g, layer, network.own(layer, weights)), "", *ins]
        y = f"{layer.name}_y"
        g.add(operator.name, operands, [y, *outs], **attributes(layer))
        if steps == 1 and not operator.y_consumed:
            x = outs[0]
        elif k < len(inner) - 1:
            axis = g.constant(f"{layer.name}_axis", np.array([1], np.int64))
            x = g.add("Squeeze", [y, axis], f"{layer.name}_sequence")
        else:
            x = y
    size = network.sizes[inner[-1].name][1]
    _conv_head(g, head, network.own(head, weights), x, steps, size)
    shape = {name: (1, 1, count) for name, count in network.state.items()}
    inputs = {"x": (steps, 1, spec.inputs.feature_size), **states(spec, "in", shape)}
    outputs = {"y": (steps, spec.answer.size, 1, 1), **states(spec, "out", shape)}
    io = {"form": "lstm", "steps": steps}
    return Form("fused", g.model("fused", inputs, outputs), {"io": io})


def _conv_head(g: Graph, head: Dense, weights: Weights, x: str, steps: int, size: int) -> None:
    shape = g.constant("last_shape", np.array([steps, size, 1, 1], np.int64))
    last = g.add("Reshape", [x, shape], "h_last")
    plain = head.activation == "none"
    linear = g.convolution(last, weights["W"], weights["b"], "y" if plain else "y_linear")
    if not plain:
        g.add(bundle.ACTIVATIONS[head.activation], [linear], "y")


def _own_states(spec: ModelSpec, layer: Layer, suffix: str) -> list[str]:
    inputs, _ = spec.network.sizes[layer.name]
    return [state_name(f"{layer.name}.{name}", suffix) for name in layer.state(inputs)]


def _operator_chain(spec: ModelSpec) -> tuple[Any, ...]:
    """Recurrent layers one after the other and a dense head; ConversionError for another network."""
    *inner, head = spec.network.layers
    before = [FEATURES, *(layer.name for layer in inner)]
    chain = all(n.inputs == (b,) for n, b in zip(spec.network.layers, before, strict=True))
    operators = [recurrent(layer)[1] for layer in inner]
    known = operators and all(operators)
    if not (chain and known and isinstance(head, Dense)):
        raise ConversionError(
            "the fused form takes recurrent layers that ONNX has, one after the other, and a dense "
            "head; this network is another one"
        )
    if slow := [operator.name for operator in operators if operator and not operator.on_npu]:
        raise ConversionError(f"the converter has no NPU kernel for the operator {slow[0]}")
    return (*inner, head)


def whole(spec: ModelSpec, weights: Weights, steps: int) -> Form:
    """The operators in both directions, over sequences of `steps`. Without initial states they need no
    range for them in int8.

    Hidden units are added until they are a multiple of ALIGNED. All of their weights are 0, and so is
    their h, always: nothing changes.
    """
    network = spec.network
    *inner, head = _operator_chain(spec)
    g = Graph()
    x = "x"
    more = 0
    for k, layer in enumerate(inner):
        one, operator = recurrent(layer)
        assert operator is not None
        own = network.own(layer, weights)
        directions = [own, reverse_weights(own)] if one is not layer else [own]
        before = more
        size = one.outputs(1)
        more = -size % ALIGNED
        parts = zip(*(operator.arrays(one, w) for w in directions), strict=True)
        W, R, B = (np.stack(arrays) for arrays in parts)
        if k:
            W = _padded(W, 2, len(directions), before)
        gates = operator.gates
        R = _padded(_padded(R, 1, gates, more), 2, 1, more)
        arrays = (_padded(W, 1, gates, more), R, _padded(B, 1, 2 * gates, more))
        constants = [g.constant(f"{layer.name}_{n}", a) for n, a in zip("WRB", arrays, strict=True)]
        given = attributes(layer) | {"hidden_size": size + more}
        y = g.add(operator.name, [x, *constants], f"{layer.name}_y", **given)
        width = len(directions) * (size + more)
        shape = [steps, 1, width] if k < len(inner) - 1 else [steps, width, 1, 1]
        constant = g.constant(f"{layer.name}_shape", np.array(shape, np.int64))
        x = g.add("Reshape", [y, constant], f"{layer.name}_sequence")
    own = network.own(head, weights)
    g.convolution(x, _padded(own["W"], 0, 2, more), own["b"], "y")
    graph = g.model(
        "fused",
        {"x": (steps, 1, spec.inputs.feature_size)},
        {"y": (steps, spec.answer.size, 1, 1)},
    )
    return Form("fused", graph, {"io": {"form": "lstm", "steps": steps, "whole": True}})


def _padded(array: NDArray[np.float32], axis: int, blocks: int, more: int) -> NDArray[np.float32]:
    """`more` zeros at the end of each of the equal blocks into which the axis falls."""
    parts = np.split(array, blocks, axis)
    widths = [(0, more if n == axis else 0) for n in range(array.ndim)]
    return np.concatenate([np.pad(part, widths) for part in parts], axis)


def packed(
    spec: ModelSpec,
    weights: Weights,
    calibration: Calibration,
    *,
    learned: Calibration | None = None,
) -> Form:
    """The cells with int8 products and everything else in float16; see `npu_int8`.

    learned: the ranges that the model was fine-tuned with. Raises ConversionError for a network that
    the int8 cells can't be made of.
    """
    network = spec.network
    if why := npu_int8.refused(network):
        raise ConversionError(why)
    if learned:
        x_range = learned["x_range"].astype(np.float64)
        products = npu_int8.learned_layers(spec, weights, learned)
    else:
        x_range = input_range(calibration["x"])
        products = npu_int8.quantize(spec, weights, calibration, x_range)
    builder = _Packed(spec, weights)
    for layer in network.layers:
        builder.add(layer, products.get(layer.name))
    parts = input_parts(spec.inputs.feature_size)
    io = {"form": "packed", "parts": parts, "x_range": x_range.tolist(), "inputs": builder.slots}
    recipe = {
        "io": io,
        "float16": builder.float16(),
        "ranges": {name: list(npu_int8.UNIT) for name in builder.unit},
        # They would put the sums' scales back into the weights that were divided by them, and cut the
        # product in two.
        "disable_rules": ["fuse_mul_into_conv", "replace_mul_add_by_bn", "fuse_concat_conv"],
    }
    shape = {name: (1, size, 1, 1) for name, size in network.state.items()}
    outputs = {"y": (1, spec.answer.size, 1, 1), **states(spec, "out", shape)}
    return Form(
        "packed", builder.graph.model("packed", builder.inputs, outputs), recipe, builder.traced
    )


class _Packed:
    """The packed graph, a layer after the other. unit: the tensors on the grid of 1/127."""

    def __init__(self, spec: ModelSpec, weights: Weights) -> None:
        self.graph = Graph()
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.slots: list[list[str]] = []
        self.unit: list[str] = []
        self.traced: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._spec = spec
        self._weights = weights
        self._values: dict[str, Symbol] = {}

    def add(self, layer: Layer, product: npu_int8.Product | None) -> None:
        own = self._spec.network.own(layer, self._weights)
        if product is None:
            self._add_float16(layer, own)
            return
        prefix = layer.name
        sums = self._sums(layer, product)
        used = activations(layer)
        order = sorted(range(len(used)), key=lambda k: (_rank(used[k]), k))
        size = len(product.bias) // len(used)
        taps: dict[str, list[int]] = {}

        def activate(_: list[str]) -> list[str]:
            groups = [[k for k in order if used[k] == shape] for shape in SHAPES]
            # Each part alone: the converter joins a Split of a Split, and then misses its tensor.
            groups += [[k] for k in order if not used[k]]
            groups = [group for group in groups if group]
            ends = [f"{prefix}_group{n}" for n in range(len(groups))]
            sizes = self.graph.constant(
                f"{prefix}_sizes", np.array([size * len(group) for group in groups], np.int64)
            )
            if len(groups) > 1:
                self.graph.add("Split", [sums, sizes], ends, axis=1)
            else:
                ends = [sums]
            names = [""] * len(used)
            for end, group in zip(ends, groups, strict=True):
                if used[group[0]]:
                    end = self.graph.add(used[group[0]], [end], f"{end}_active")
                if len(group) == 1:
                    names[group[0]] = end
                    continue
                own_names = [f"{prefix}_part{k}" for k in group]
                self.graph.add("Split", [end], own_names, axis=1, num_outputs=len(group))
                for k, name in zip(group, own_names, strict=True):
                    names[k] = name
                taps[end] = group
            return names

        tape = GivenSums(self.graph, prefix, activate, used)
        exact: list[str] = []
        before = {
            name: _Read(tape, state_name(f"{prefix}.{name}", "in"), name, exact)
            for name in self._state_names(layer)
        }

        def of_product(name: str, v: Any) -> Any:
            return _Nothing() if name in ("W_x", "W_h") else tape.product(v, own[name])

        y, after = layer.cell(_Ignoring(tape), of_product, own, _Nothing(), before)
        for name in self._state_names(layer):
            if name in exact:
                self._exact(layer, name, tape)
        self._values[prefix] = finish(self._spec, layer, tape, y, after)
        self._trace(layer, tape, taps)

    def _add_float16(self, layer: Layer, own: Weights) -> None:
        """A layer that doesn't multiply its state, if it has one."""
        tape = Tape(self.graph, layer.name)
        x = tape.join([self._values[name] for name in layer.inputs])
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

    def _sums(self, layer: Layer, product: npu_int8.Product) -> str:
        """v, the int8 product, and its sums in float16; returns the sums' name."""
        g = self.graph
        prefix = layer.name
        first = layer.inputs == (FEATURES,)
        W = product.weights
        H = self._spec.network.state[f"{prefix}.{layer.recurrent}"]
        v = f"{prefix}_v"
        self.slots.append([V, f"{prefix}.{layer.recurrent}"])
        if first:
            self.inputs[v] = (1, W.shape[0], 1, 1)
        else:  # v holds the zeros and h, to which what the layer reads comes inside the graph
            self.inputs[v] = (1, PINS + H, 1, 1)
            self.unit.append(v)
            read = [self._values[name].name for name in layer.inputs]
            v = g.add("Concat", [v, *read], f"{prefix}_joined", axis=1)
            W = np.concatenate([W[:PINS], W[len(W) - H :], W[PINS : len(W) - H]])
        used = activations(layer)
        order = sorted(range(len(used)), key=lambda k: (_rank(used[k]), k))

        def ordered(array: NDArray[np.float64]) -> NDArray[np.float32]:
            blocks = np.split(array.astype(np.float32), len(used), axis=-1)
            return np.concatenate([blocks[k] for k in order], axis=-1)

        linear = g.convolution(v, ordered(W), ordered(product.bias), f"{prefix}_linear")
        self.unit += [v, linear]
        scale = g.constant(f"{prefix}_scale", ordered(product.scale).reshape(1, -1, 1, 1))
        centre = g.constant(f"{prefix}_centre", ordered(product.centre).reshape(1, -1, 1, 1))
        scaled = g.add("Mul", [linear, scale], f"{prefix}_scaled")
        return g.add("Add", [scaled, centre], f"{prefix}_sums")

    def _trace(self, layer: Layer, tape: Tape, taps: Mapping[str, list[int]]) -> None:
        """The converter crashes (SIGFPE) if a part of a Split is an output: then all parts are one."""
        parts_of = {name: part for part, name in tape.kept.items()}
        hidden = set()
        for end, group in taps.items():
            node = next(n for n in self.graph.nodes if n.op_type == "Split" and end in n.input)
            hidden |= set(node.output)
            names = [parts_of.get(output, "") for output in node.output]
            if all(names) and len(names) == len(group):
                whole = tape.rename(Symbol(tape, end), f"{layer.name}_{'_'.join(names)}")
                self.traced[whole] = (layer.name, tuple(names))
        for part, name in tape.kept.items():
            if name not in hidden:
                self.traced[name] = (layer.name, (part,))

    def float16(self) -> list[str]:
        """Every tensor but the int8 products and what they are taken with."""
        made = [output for node in self.graph.nodes for output in node.output if output]
        return [name for name in made if name not in self.unit]


class _Read(Symbol):
    """A state: an input of the graph only if the cell reads it beside its product."""

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
    """Stands for what is not computed: the products of x and h, whose sums are given."""

    def _nothing(self, _: Any) -> _Nothing:
        return self

    __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __rsub__ = _nothing


class _Ignoring:
    """The tape, for a cell whose products of x and h are not computed."""

    def __init__(self, tape: GivenSums) -> None:
        self._tape = tape

    def join(self, parts: list[Any]) -> Any:
        return parts[0] if isinstance(parts[0], _Nothing) else self._tape.join(parts)

    def split(self, sums: Any, parts: int) -> tuple[Any, ...]:
        return (sums,) * parts if isinstance(sums, _Nothing) else self._tape.split(sums, parts)

    def sums(self, value: Any) -> Any:  # noqa: ARG002
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tape, name)


def activations(layer: Layer) -> list[str]:
    """Which operator the cell applies to each part of its sums first; "" for none.

    Raises ConversionError for a cell that doesn't split its sums.
    """
    probe = _Probe()
    none = _Anything(probe, None)
    layer.cell(probe, lambda *_: none, _Everything(none), none, _Everything(none))
    if not probe.parts:
        raise ConversionError(
            f"layer {layer.name!r}: the cell of type {layer.type!r} doesn't split what `ops.sums` "
            "returns; expected `ops.split(ops.sums(...), parts)`"
        )
    return [part.used for part in probe.parts]


def _rank(shape: str) -> int:
    return (*SHAPES, "").index(shape)


class _Everything(dict[str, Any]):
    """A mapping that has the same value for each name."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, key: str) -> Any:
        return self._value


class _Anything:
    """A value that nothing is known of. part: the part of the sums that it is, untouched."""

    def __init__(self, probe: _Probe, part: _Part | None) -> None:
        self.probe = probe
        self.part = part

    def _touched(self, *_: Any) -> _Anything:
        if self.part is not None:
            self.part.touched = True
        return _Anything(self.probe, None)

    __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __rsub__ = _touched


@dataclasses.dataclass
class _Part:
    used: str = ""
    touched: bool = False


class _Probe:
    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self._sums = False

    def split(self, sums: Any, parts: int) -> tuple[Any, ...]:  # noqa: ARG002
        if not self._sums:
            return tuple(_Anything(self, None) for _ in range(parts))
        self._sums = False
        self.parts = [_Part() for _ in range(parts)]
        return tuple(_Anything(self, part) for part in self.parts)

    def join(self, parts: Sequence[Any]) -> Any:  # noqa: ARG002
        return _Anything(self, None)

    def sums(self, value: Any) -> Any:
        self._sums = True
        return value

    def keep(self, name: str, value: Any) -> Any:  # noqa: ARG002
        return value

    def _apply(self, operator: str, a: _Anything) -> _Anything:
        if a.part is not None and not a.part.touched:
            a.part.used = operator
            a.part.touched = True
        return _Anything(self, None)

    def sigmoid(self, a: Any) -> Any:
        return self._apply("Sigmoid", a)

    def tanh(self, a: Any) -> Any:
        return self._apply("Tanh", a)

    def relu(self, a: Any) -> Any:
        return self._apply("Relu", a)


FORMS: dict[str, Callable[..., Form]] = {"packed": packed, "cell": cell, "fused": fused}


def candidates(target: str, scheme: str) -> tuple[str, ...]:
    """The forms that are tried, best first if they measure alike. `packed` is w8a8's own, on NPUs that
    have float16 as well."""
    both = scheme == "w8a8" and "fp16" in known(target).schemes
    return ("packed", "cell", "fused") if both else ("cell", "fused")
