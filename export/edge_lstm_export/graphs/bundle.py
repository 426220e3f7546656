"""The ONNX graphs of a bundle, written from the canonical weights, so that every name is ours.

Inputs: x, then each state NAME_in. Outputs: y, then each state NAME_out, in the network's order.
All are float32, and all shapes are static, but for whole sequences:

    fused   ONNX's recurrent operators, and the cells of layers without a state: x (1, 1, F), states
            (1, 1, H), y (1, O)
    cell    1x1 convolutions and element-wise operators: x (1, F, 1, 1), states (1, size, 1, 1),
            y (1, O, 1, 1). See `symbols`

If a network needs whole sequences, it has only the first form, over any number of steps and without
states: x (steps, 1, F), y (steps, O). If ONNX has no operator for a layer with a state, it has only
the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.both_ways import BothWays, reverse_weights
from edge_lstm_runtime.layers.dense import Dense

from ..layers import ACTIVATIONS, Operator, operator_of
from .builder import Graph, state_name
from .symbols import Linear, RowTape, Symbol, Tape

Weights = Mapping[str, NDArray[np.float32]]
Shape = tuple[int | str, ...]


def forms_of(spec: ModelSpec) -> tuple[str, ...]:
    """The forms that a bundle has of the model: "fused", "cell" or both."""
    network = spec.network
    known = all(
        recurrent(n)[1] is not None or is_stateless(n, network.sizes[n.name][0])
        for n in network.layers
    )
    forms = ("fused",) if known else ()
    return forms if spec.whole else (*forms, "cell")


def is_stateless(layer: Layer, inputs: int) -> bool:
    return not layer.whole and not layer.state(inputs)


def build(spec: ModelSpec, weights: Weights, form: str) -> onnx.ModelProto:
    return _fused(spec, weights) if form == "fused" else cells(spec, weights)[0]


def recurrent(layer: Layer) -> tuple[Layer, Operator | None]:
    """The layer of one direction, and ONNX's operator for it."""
    inner = layer.layer if isinstance(layer, BothWays) else layer
    return inner, operator_of(inner)


def states(spec: ModelSpec, suffix: str, shape: Mapping[str, Shape]) -> dict[str, Shape]:
    """Names and shapes of the states as inputs ("in") or outputs ("out")."""
    return {state_name(name, suffix): shape[name] for name in spec.network.state}


def operator_for(layer: Layer) -> tuple[Layer, Operator]:
    """As `recurrent`, for a layer that has an operator."""
    inner, operator = recurrent(layer)
    assert operator is not None
    return inner, operator


def operator_arrays(layer: Layer, weights: Weights) -> list[NDArray[np.float32]]:
    """W, R and B of ONNX's operator, (directions, ...) each."""
    inner, operator = operator_for(layer)
    directions = [weights] if inner is layer else [weights, reverse_weights(weights)]
    arrays = zip(*(operator.arrays(inner, own) for own in directions), strict=True)
    return [np.stack(parts) for parts in arrays]


def constants(g: Graph, layer: Layer, arrays: Iterable[NDArray[np.float32]]) -> list[str]:
    """W, R and B of a layer, as constants of the graph."""
    return [g.constant(f"{layer.name}_{n}", array) for n, array in zip("WRB", arrays, strict=True)]


def attributes(layer: Layer) -> dict[str, Any]:
    inner, operator = operator_for(layer)
    directions = 1 if inner is layer else 2
    both = {"direction": "bidirectional"} if directions == 2 else {}
    return {"hidden_size": inner.outputs(1), **both, **operator.attributes(inner, directions)}


def _fused(spec: ModelSpec, weights: Weights) -> onnx.ModelProto:
    """Layers in between are (steps, 1, size), as the operators take them. y is (steps, O)."""
    g = Graph()
    network = spec.network
    values = {FEATURES: "x"}
    for layer in network.layers:
        own = network.own(layer, weights)
        last = layer is network.layers[-1]
        stateless = is_stateless(layer, network.sizes[layer.name][0])
        if stateless and not isinstance(layer, Dense):
            values[layer.name] = _rows(g, layer, own, [values[name] for name in layer.inputs])
            continue
        x = _joined(g, [values[name] for name in layer.inputs], layer.name, axis=2)
        if isinstance(layer, Dense):
            values[layer.name] = _dense(g, layer, own, x, last=last)
        elif spec.whole:
            size = network.sizes[layer.name][1]
            operands = [x, *constants(g, layer, operator_arrays(layer, own))]
            y = g.add(operator_for(layer)[1].name, operands, f"{layer.name}_y", **attributes(layer))
            # (steps, directions, 1, H): the two directions lie side by side already. The 0 keeps
            # the number of steps.
            shape = g.constant(f"{layer.name}_shape", np.array([0, 1, size], np.int64))
            values[layer.name] = g.add("Reshape", [y, shape], f"{layer.name}_sequence")
        else:
            ins, outs = (own_states(spec, layer, suffix) for suffix in ("in", "out"))
            operands = [x, *constants(g, layer, operator_arrays(layer, own)), "", *ins]
            # With one step, Y_h is the layer's whole output, so Y itself is left out.
            g.add(operator_for(layer)[1].name, operands, ["", *outs], **attributes(layer))
            values[layer.name] = outs[0]
    if (end := values[network.layers[-1].name]) != "y":
        g.add("Squeeze", [end, g.constant("axes", np.array([1], np.int64))], "y")
    if spec.whole:
        sizes: dict[str, Shape] = {"x": ("steps", 1, spec.inputs.feature_size)}
        return g.model("fused", sizes, {"y": ("steps", spec.answer.size)})
    shapes: dict[str, Shape] = {name: (1, 1, size) for name, size in network.state.items()}
    inputs = {"x": (1, 1, spec.inputs.feature_size), **states(spec, "in", shapes)}
    outputs = {"y": (1, spec.answer.size), **states(spec, "out", shapes)}
    return g.model("fused", inputs, outputs)


def _rows(g: Graph, layer: Layer, weights: Weights, inputs: list[str]) -> str:
    """The cell of a layer without a state: (steps, 1, in) -> (steps, 1, out)."""
    tape = RowTape(g, layer.name)
    x = tape.join([Symbol(tape, name) for name in inputs])
    y, _ = layer.cell(tape, lambda name, v: tape.product(v, weights[name]), weights, x, {})
    return tape.symbol(y).name


def own_states(spec: ModelSpec, layer: Layer, suffix: str) -> list[str]:
    inputs, _ = spec.network.sizes[layer.name]
    return [state_name(f"{layer.name}.{name}", suffix) for name in layer.state(inputs)]


def _joined(g: Graph, names: list[str], layer: str, axis: int) -> str:
    return names[0] if len(names) == 1 else g.add("Concat", names, f"{layer}_inputs", axis=axis)


def _dense(g: Graph, layer: Dense, weights: Weights, x: str, *, last: bool) -> str:
    """(steps, 1, in) -> (steps, 1, units), or (steps, units) for the last layer."""
    W = g.constant(f"{layer.name}_W", weights["W"])
    b = g.constant(f"{layer.name}_b", weights["b"])
    plain = layer.activation == "none"
    end = "y" if last else f"{layer.name}_y"
    linear = end if plain else f"{layer.name}_linear"
    if last:
        axis = g.constant("axes", np.array([1], np.int64))
        rows = g.add("Squeeze", [x, axis], f"{layer.name}_rows")
        g.add("Gemm", [rows, W, b], linear)
    else:
        g.add("Add", [g.add("MatMul", [x, W], f"{layer.name}_product"), b], linear)
    return linear if plain else g.add(ACTIVATIONS[layer.activation], [linear], end)


def cells(spec: ModelSpec, weights: Weights) -> tuple[onnx.ModelProto, dict[str, Tape]]:
    """The graph of every layer's cell, and the layers' tapes.

    It goes from x and the states to y and the new states.
    """
    g = Graph()
    network = spec.network
    tapes = {}
    values = {FEATURES: "x"}
    for layer in network.layers:
        tape = tapes[layer.name] = Tape(g, layer.name)
        own = network.own(layer, weights)
        before = {
            name: Symbol(tape, state_name(f"{layer.name}.{name}", "in"))
            for name in layer.state(network.sizes[layer.name][0])
        }

        def product(name: str, v: Any, tape: Tape = tape, own: Weights = own) -> Linear:
            return tape.product(v, own[name])

        x = tape.join([Symbol(tape, values[name]) for name in layer.inputs])
        y, after = layer.cell(tape, product, own, x, before)
        values[layer.name] = finish(spec, layer, tape, y, after)
    shape = {name: (1, size, 1, 1) for name, size in network.state.items()}
    inputs = {"x": (1, spec.inputs.feature_size, 1, 1), **states(spec, "in", shape)}
    outputs = {"y": (1, spec.answer.size, 1, 1), **states(spec, "out", shape)}
    return g.model("cell", inputs, outputs), tapes


def finish(spec: ModelSpec, layer: Layer, tape: Tape, y: Any, after: Mapping[str, Any]) -> str:
    """Give a layer's output and states their names in the graph. Returns the output's."""
    output = tape.symbol(y)
    named = {state_name(f"{layer.name}.{name}", "out"): v for name, v in after.items()}
    if layer is spec.network.layers[-1]:
        named["y"] = output
    for name, value in named.items():
        tape.rename(tape.symbol(value), name)
        tape.graph.outputs.add(name)
    return output.name
