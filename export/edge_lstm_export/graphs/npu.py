"""The forms in which a model is offered to an NPU's converter.

The best by measurement is kept. `edge_lstm_runtime.backends.rknn.packing` describes the inputs and
outputs of each form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ConversionError, ModelSpec
from edge_lstm_runtime.layers import FEATURES
from edge_lstm_runtime.layers.dense import Dense

from ..layers import ACTIVATIONS
from ..quantize.npu_int8 import Product
from . import bundle
from .builder import Graph
from .bundle import (
    Weights,
    attributes,
    constants,
    operator_arrays,
    operator_for,
    own_states,
    recurrent,
    states,
)
from .form import Calibration, Form
from .packed import packed

Float32 = NDArray[np.float32]
ALIGNED = 8  # hidden units: with others the converter puts the Reshape before the head on the CPU


def cell(
    spec: ModelSpec,
    weights: Weights,
    calibration: Calibration,  # noqa: ARG001
    *,
    products: Mapping[str, Product] | None = None,  # noqa: ARG001
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
    products: Mapping[str, Product] | None = None,  # noqa: ARG001
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
        _, operator = operator_for(layer)
        ins, outs = (own_states(spec, layer, suffix) for suffix in ("in", "out"))
        arrays = operator_arrays(layer, network.own(layer, weights))
        operands = [x, *constants(g, layer, arrays), "", *ins]
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
    shape_of = g.constant("last_shape", np.array([steps, size, 1, 1], np.int64))
    last = g.add("Reshape", [x, shape_of], "h_last")
    own = network.own(head, weights)
    _conv_head(g, head, last, own["W"], own["b"])
    shape = {name: (1, 1, count) for name, count in network.state.items()}
    inputs = {"x": (steps, 1, spec.inputs.feature_size), **states(spec, "in", shape)}
    outputs = {"y": (steps, spec.answer.size, 1, 1), **states(spec, "out", shape)}
    io = {"form": "lstm", "steps": steps}
    return Form("fused", g.model("fused", inputs, outputs), {"io": io})


def _conv_head(g: Graph, head: Dense, x: str, W: Float32, b: Float32) -> None:
    """x: (steps, size, 1, 1) -> y (steps, O, 1, 1)."""
    plain = head.activation == "none"
    linear = g.convolution(x, W, b, "y" if plain else "y_linear")
    if not plain:
        g.add(ACTIVATIONS[head.activation], [linear], "y")


def _operator_chain(spec: ModelSpec) -> tuple[Any, ...]:
    """Recurrent layers one after the other, and a dense head.

    Raises ConversionError for another network, or if the NPU has no kernel for an operator.
    """
    *inner, head = spec.network.layers
    before = [FEATURES, *(layer.name for layer in inner)]
    chain = all(n.inputs == (b,) for n, b in zip(spec.network.layers, before, strict=True))
    operators = [recurrent(layer)[1] for layer in inner]
    if not (chain and operators and all(operators) and isinstance(head, Dense)):
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
    more = 0  # zeros in each of the blocks that the layer before has, one for each direction
    blocks = 1
    for k, layer in enumerate(inner):
        one, operator = operator_for(layer)
        W, R, B = operator_arrays(layer, network.own(layer, weights))
        W = _padded(W, 2, blocks, more)
        size = one.outputs(1)
        more = -size % ALIGNED
        blocks = len(W)
        gates = operator.gates
        R = _padded(_padded(R, 1, gates, more), 2, 1, more)
        arrays = (_padded(W, 1, gates, more), R, _padded(B, 1, 2 * gates, more))
        given = attributes(layer) | {"hidden_size": size + more}
        y = g.add(operator.name, [x, *constants(g, layer, arrays)], f"{layer.name}_y", **given)
        width = blocks * (size + more)
        shape = [steps, 1, width] if k < len(inner) - 1 else [steps, width, 1, 1]
        shape_of = g.constant(f"{layer.name}_shape", np.array(shape, np.int64))
        x = g.add("Reshape", [y, shape_of], f"{layer.name}_sequence")
    own = network.own(head, weights)
    _conv_head(g, head, x, _padded(own["W"], 0, blocks, more), own["b"])
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
