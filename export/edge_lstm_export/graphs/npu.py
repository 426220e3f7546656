"""The forms in which a model is offered to an NPU's converter.

The best by measurement is kept. `edge_lstm_runtime.backends.rknn.packing` describes the inputs and
outputs of each form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ConversionError, ModelSpec
from edge_lstm_runtime.layers import FEATURES, Layer
from edge_lstm_runtime.layers.both_ways import reverse_weights
from edge_lstm_runtime.layers.dense import Dense

from ..npu.targets import known
from . import bundle
from .builder import Graph, state_name
from .bundle import Weights, attributes, operator_arrays, recurrent, states
from .form import Calibration, Form
from .packed import packed

ALIGNED = 8  # hidden units: with others the converter puts the Reshape before the head on the CPU


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
    """ONNX's operators, over `steps` steps.

    Their unused outputs have names, and the dense head is a 1x1 convolution. Otherwise the
    converter fails or logs errors. Raises ConversionError if the network is not a chain of such
    operators and a dense head, or if the NPU has no kernel for one.
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
    """Recurrent layers one after the other, and a dense head.

    Raises ConversionError for another network, or if the NPU has no kernel for an operator.
    """
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
    """The operators in both directions, over sequences of `steps`. Without initial states, int8
    needs no ranges for them.

    Hidden units are added until they are a multiple of ALIGNED. All of their weights are 0, and so
    is their h, always: the answers don't change. Raises ConversionError as `fused` does.
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
    """The axis falls into equal blocks, and each gets `more` zeros at its end."""
    parts = np.split(array, blocks, axis)
    widths = [(0, more if n == axis else 0) for n in range(array.ndim)]
    return np.concatenate([np.pad(part, widths) for part in parts], axis)


FORMS: dict[str, Callable[..., Form]] = {"packed": packed, "cell": cell, "fused": fused}


def candidates(target: str, scheme: str) -> tuple[str, ...]:
    """The forms that are tried, best first if they measure alike.

    `packed` is for w8a8 alone, on NPUs that have float16 as well.
    """
    both = scheme == "w8a8" and "fp16" in known(target).schemes
    return ("packed", "cell", "fused") if both else ("cell", "fused")
