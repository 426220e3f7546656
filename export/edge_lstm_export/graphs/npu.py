"""The forms in which a model is offered to the converter, and how each is to be built. The best by measurement is kept.

`edge_lstm_runtime.backends.rknn.packing` says what the inputs and outputs of each form hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_lstm.emulate.npu_ranges import input_parts, input_range
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.backends.rknn.packing import PINS
from edge_lstm_runtime.layers.layout import ONNX_GATES, to_onnx

from ..npu.targets import known
from ..quantize import npu_int8
from . import bundle
from .builder import Graph, state_names
from .bundle import BOTH, Weights

Calibration = Mapping[str, NDArray[np.float32]]
# What a traced graph gives of each layer besides h and c. The converter crashes (SIGFPE) when a part of a Split is an output, as i, f and o
# of the packed form are, so there it is the three as one.
TRACED = {
    "cell": ("i", "f", "g", "o", "fc", "ig", "tanh_c"),
    "packed": ("ifo", "g", "fc", "ig", "tanh_c"),
    "lstm": (),
}


@dataclasses.dataclass(frozen=True)
class Form:
    """graph: ONNX. recipe: what the worker builds it with and the runtime feeds it by; JSON, kept in the artifact's manifest row:

    io             see Packing
    float16        tensors that are not quantised
    ranges         tensor -> (min, max), where the calibration set does not decide
    disable_rules  optimisations of the converter that would undo the recipe
    """

    name: str
    graph: onnx.ModelProto
    recipe: dict[str, Any]

    @property
    def steps(self) -> int:
        """That the graph takes at once."""
        steps: int = self.recipe["io"].get("steps", 1)
        return steps

    @property
    def label(self) -> str:
        """For names of files: the form, and its steps where it takes several."""
        return self.name if self.steps == 1 else f"{self.name}-t{self.steps}"


def cell(
    spec: ModelSpec,
    weights: Weights,
    calibration: Calibration,  # noqa: ARG001
    *,
    learned: Calibration | None = None,  # noqa: ARG001
    trace: bool = False,
) -> Form:
    graph = bundle.build(spec, weights, "cell")
    return Form("cell", _traced(graph, spec, "cell") if trace else graph, {"io": {"form": "cell"}})


def lstm(
    spec: ModelSpec,
    weights: Weights,
    calibration: Calibration,  # noqa: ARG001
    *,
    steps: int = 1,
    learned: Calibration | None = None,  # noqa: ARG001
    trace: bool = False,  # noqa: ARG001
) -> Form:
    """The fused operator. Its unused outputs have names and its head is a 1x1 convolution: otherwise the converter fails or logs errors."""
    g = Graph()
    H = spec.hidden_size
    inputs = "x"
    for k in range(spec.num_layers):
        constants = [
            g.constant(f"layer{k}_{n}", a) for n, a in zip("WRB", to_onnx(weights, k), strict=True)
        ]
        outputs = [f"layer{k}_y", f"h{k}_out", f"c{k}_out"]
        g.add("LSTM", [inputs, *constants, "", f"h{k}_in", f"c{k}_in"], outputs, hidden_size=H)
        if steps == 1:
            inputs = f"h{k}_out"
        elif k < spec.num_layers - 1:
            inputs = g.add(
                "Squeeze",
                [f"layer{k}_y", g.constant(f"axis{k}", np.array([1], np.int64))],
                f"layer{k}_sequence",
            )
        else:
            inputs = f"layer{k}_y"
    last = g.add(
        "Reshape",
        [inputs, g.constant("last_shape", np.array([steps, H, 1, 1], np.int64))],
        "h_last",
    )
    g.convolution(last, weights["head.W"], weights["head.b"], "y")
    sizes = {
        "x": (steps, 1, spec.feature_size),
        "h": (1, 1, H),
        "c": (1, 1, H),
        "y": (steps, spec.output_size, 1, 1),
    }
    return Form("lstm", g.model(spec, "lstm", sizes), {"io": {"form": "lstm", "steps": steps}})


ALIGNED = 8  # hidden units: with others the converter puts the Reshape before the head on the CPU and logs an error


def bidirectional(spec: ModelSpec, weights: Weights, steps: int) -> Form:
    """The fused operator in both directions, over sequences of `steps`. Without initial states it needs no range for them in int8.

    Hidden units are added until they are a multiple of ALIGNED. All of their weights are 0, and so is their h, always: nothing changes.
    """
    g = Graph()
    H = -(-spec.hidden_size // ALIGNED) * ALIGNED
    more = H - spec.hidden_size
    inputs = "x"
    for k in range(spec.num_layers):
        W, R, B = to_onnx(weights, k)
        gates = len(ONNX_GATES)
        if k:
            W = _padded(W, 2, 2, more)
        parts = (
            _padded(W, 1, gates, more),
            _padded(_padded(R, 1, gates, more), 2, 1, more),
            _padded(B, 1, 2 * gates, more),
        )
        constants = [g.constant(f"layer{k}_{n}", a) for n, a in zip("WRB", parts, strict=True)]
        y = g.add(
            "LSTM", [inputs, *constants], f"layer{k}_y", hidden_size=H, direction=BOTH
        )  # (steps, 2, 1, H)
        shape = [steps, 1, 2 * H] if k < spec.num_layers - 1 else [steps, 2 * H, 1, 1]
        inputs = g.add(
            "Reshape",
            [y, g.constant(f"layer{k}_shape", np.array(shape, np.int64))],
            f"layer{k}_sequence",
        )
    g.convolution(inputs, _padded(weights["head.W"], 0, 2, more), weights["head.b"], "y")
    sizes = {"x": (steps, 1, spec.feature_size), "y": (steps, spec.output_size, 1, 1)}
    return Form(
        "lstm",
        g.model(spec, "lstm", sizes),
        {"io": {"form": "lstm", "steps": steps, "bidirectional": True}},
    )


def _padded(array: NDArray[np.float32], axis: int, blocks: int, more: int) -> NDArray[np.float32]:
    """`more` zeros at the end of each of the equal blocks into which the axis falls."""
    parts = np.split(array, blocks, axis)
    return np.concatenate(
        [
            np.pad(part, [(0, more if n == axis else 0) for n in range(array.ndim)])
            for part in parts
        ],
        axis,
    )


def packed(
    spec: ModelSpec,
    weights: Weights,
    calibration: Calibration,
    *,
    learned: Calibration | None = None,
    trace: bool = False,
) -> Form:
    """The cell with int8 products and everything else in float16; see `int8`. learned: the ranges that the model was fine-tuned with."""
    x_range = learned["x_range"].astype(np.float64) if learned else input_range(calibration["x"])
    layers = (
        npu_int8.learned_layers(weights, learned)
        if learned
        else npu_int8.quantise(weights, calibration, x_range)
    )
    g = Graph()
    H, L = spec.hidden_size, spec.num_layers
    unit, float16 = [], []
    sizes: dict[str, tuple[int, ...]] = {"y": (1, spec.output_size, 1, 1)}
    for k, layer in enumerate(layers):
        p = f"layer{k}_"
        W = layer.weights
        if k == 0:
            v = "v0"
            sizes[v] = (1, W.shape[0], 1, 1)
        else:  # v holds the zeros and h, to which the h below comes inside the graph
            sizes[f"v{k}"] = (1, PINS + H, 1, 1)
            v = g.add("Concat", [f"v{k}", f"h{k - 1}_out"], f"{p}v", axis=1)
            W = np.concatenate([W[:PINS], W[PINS + H :], W[PINS : PINS + H]])
            unit.append(f"v{k}")
        for name in ("h", "c"):
            sizes[f"{name}{k}_out"] = sizes[f"{name}{k}_in"] = (1, H, 1, 1)
        unit += [
            v,
            g.convolution(v, W.astype(np.float32), layer.bias.astype(np.float32), f"{p}linear"),
        ]
        scale = g.constant(f"{p}scale", layer.scale.reshape(1, -1, 1, 1).astype(np.float32))
        centre = g.constant(f"{p}centre", layer.centre.reshape(1, -1, 1, 1).astype(np.float32))
        sums = g.add("Add", [g.add("Mul", [f"{p}linear", scale], f"{p}scaled"), centre], f"{p}sums")
        sizes_ifo_g = g.constant(f"{p}sizes", np.array([3 * H, H], np.int64))
        g.add("Split", [sums, sizes_ifo_g], [f"{p}ifo_linear", f"{p}g_linear"], axis=1)
        g.add("Sigmoid", [f"{p}ifo_linear"], f"{p}ifo")
        g.add("Split", [f"{p}ifo"], [p + n for n in "ifo"], axis=1, num_outputs=3)
        g.add("Tanh", [f"{p}g_linear"], f"{p}g")
        g.add(
            "Add",
            [
                g.add("Mul", [f"{p}f", f"c{k}_in"], f"{p}fc"),
                g.add("Mul", [f"{p}i", f"{p}g"], f"{p}ig"),
            ],
            f"c{k}_out",
        )
        g.add("Mul", [f"{p}o", g.add("Tanh", [f"c{k}_out"], f"{p}tanh_c")], f"h{k}_out")
        float16 += [
            p + n
            for n in (
                "scaled",
                "sums",
                "ifo_linear",
                "g_linear",
                "ifo",
                *"ifog",
                "fc",
                "ig",
                "tanh_c",
            )
        ] + [
            f"c{k}_out",
            f"h{k}_out",
        ]
    g.convolution(f"h{L - 1}_out", weights["head.W"], weights["head.b"], "y")
    graph = g.model(spec, "packed", sizes, [n for k in range(L) for n in (f"v{k}", f"c{k}_in")])
    recipe = {
        "io": {
            "form": "packed",
            "parts": input_parts(spec.feature_size),
            "x_range": x_range.tolist(),
        },
        "float16": [*float16, "y"],
        "ranges": {name: list(npu_int8.UNIT) for name in unit},
        # They would put the sums' scales back into the weights that were divided by them, and cut the product in two.
        "disable_rules": ["fuse_mul_into_conv", "replace_mul_add_by_bn", "fuse_concat_conv"],
    }
    return Form("packed", _traced(graph, spec, "packed") if trace else graph, recipe)


FORMS: dict[str, Callable[..., Form]] = {"packed": packed, "cell": cell, "lstm": lstm}


def candidates(target: str, scheme: str) -> tuple[str, ...]:
    """The forms that are tried, best first where they measure alike. `packed` is w8a8's own, on NPUs that have float16 as well."""
    return (
        ("packed", "cell", "lstm")
        if scheme == "w8a8" and "fp16" in known(target).schemes
        else ("cell", "lstm")
    )


def traced_outputs(spec: ModelSpec, form: str) -> dict[str, int]:
    """The outputs of a graph built with `trace`, in order, and their sizes."""
    sizes = {
        "y": spec.output_size,
        **dict.fromkeys(state_names(spec.num_layers, "out"), spec.hidden_size),
    }
    for k in range(spec.num_layers):
        sizes.update(
            {
                f"layer{k}_{name}": spec.hidden_size * (3 if name == "ifo" else 1)
                for name in TRACED[form]
            }
        )
    return sizes


def _traced(graph: onnx.ModelProto, spec: ModelSpec, form: str) -> onnx.ModelProto:
    known = {value.name for value in graph.graph.output}
    for name, size in traced_outputs(spec, form).items():
        if name not in known:
            graph.graph.output.append(
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size, 1, 1])
            )
    onnx.checker.check_model(graph, full_check=True)
    return graph
