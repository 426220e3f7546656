"""Small graphs for the rules of lint: one that breaks each rule, and the nearest that does not."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_lstm_export.graphs.bundle import build
from edge_lstm_export.npu.rknn.targets import targets
from helpers.specs import make_spec
from helpers.weights import random_weights


def model(nodes, inputs, outputs, constants, opset=19):
    def values(shapes):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    arrays = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", values(inputs), values(outputs), arrays)
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(result, full_check=True)
    return result


def node(operator, inputs, outputs, **attributes):
    return helper.make_node(
        operator, inputs, outputs, name=next(o for o in outputs if o), **attributes
    )


def random(*shape):
    return np.random.default_rng(0).uniform(-0.2, 0.2, shape).astype(np.float32)


def lstm(  # noqa: PLR0913 - a factory: each graph names the few that matter to it
    T=1,
    B=1,
    F=6,
    H=16,
    *,
    operands="x W R B - h c",
    outputs="Y Yh Yc",
    before=(),
    after=(),
    inputs=None,
    ends=None,
    constants=None,
    **attributes,
):
    """The bare operator, with states.

    operands, outputs: - stands for one that is left out by an empty name.
    """
    names = ["" if n == "-" else n for n in operands.split()]
    results = ["" if n == "-" else n for n in outputs.split()]
    batch_first = attributes.get("layout") == 1
    x, state, y = (
        ([B, T, F], [B, 1, H], [B, T, 1, H])
        if batch_first
        else ([T, B, F], [1, B, H], [T, 1, B, H])
    )
    weights = {
        "W": random(1, 4 * H, F),
        "R": random(1, 4 * H, H),
        "B": random(1, 8 * H),
        "P": random(1, 3 * H),
    }
    held = {n: a for n, a in weights.items() if n in names} | (constants or {})
    given = (inputs or {"x": x}) | {n: state for n in "hc" if n in names}
    shown = {n: y if n == "Y" else state for n in results if n} | (ends or {})
    return model(
        [*before, node("LSTM", names, results, hidden_size=H, **attributes), *after],
        given,
        shown,
        held,
    )


def lstm_of_4d(F):
    before = [node("Reshape", ["x4", "shape"], ["x"])]
    return lstm(
        F=F, before=before, inputs={"x4": [1, F, 1, 1]}, constants={"shape": np.array([1, 1, F])}
    )


def lstm_scaled(F):
    return lstm(
        F=F,
        before=[node("Mul", ["x3", "k"], ["x"])],
        inputs={"x3": [1, 1, F]},
        constants={"k": random(1)},
    )


def lstm_of_2d(F):
    return lstm(
        F=F,
        before=[node("Unsqueeze", ["x2", "axes"], ["x"])],
        inputs={"x2": [1, F]},
        constants={"axes": np.array([0])},
    )


def lstm_head(H, of="Yh"):
    after = [
        node("Reshape", [of, "shape"], ["h4"]),
        node("Conv", ["h4", "K"], ["y"], kernel_shape=[1, 1]),
    ]
    return lstm(
        H=H,
        after=after,
        ends={"y": [1, 3, 1, 1]},
        constants={"shape": np.array([1, H, 1, 1]), "K": random(3, H, 1, 1)},
    )


def lstm_gemm_head(size):
    after = [node("Squeeze", ["Yh", "axes"], ["hs"]), node("Gemm", ["hs", "K", "b"], ["y"])]
    return lstm(
        after=after,
        ends={"y": [1, size]},
        constants={"axes": np.array([0]), "K": random(16, size), "b": random(size)},
    )


def lstm_squeezed(H):
    return lstm(
        H=H,
        after=[node("Squeeze", ["Yh", "axes"], ["hs"])],
        ends={"hs": [1, H]},
        constants={"axes": np.array([0])},
    )


def conv(batch=1, opset=19):
    K = random(8, 8, 1, 1)
    return model(
        [node("Conv", ["x", "K"], ["y"], kernel_shape=[1, 1])],
        {"x": [batch, 8, 1, 1]},
        {"y": [batch, 8, 1, 1]},
        {"K": K},
        opset,
    )


def conv_to(shape):
    nodes = [
        node("Conv", ["x", "K"], ["p"], kernel_shape=[1, 1]),
        node("Reshape", ["p", "shape"], ["y"]),
    ]
    return model(
        nodes,
        {"x": [1, 8, 1, 1]},
        {"y": shape},
        {"K": random(max(shape), 8, 1, 1), "shape": np.array(shape)},
    )


def conv_from(shape):
    size = max(shape)
    nodes = [
        node("Reshape", ["x", "shape"], ["p"]),
        node("Conv", ["p", "K"], ["y"], kernel_shape=[1, 1]),
    ]
    return model(
        nodes,
        {"x": shape},
        {"y": [1, 8, 1, 1]},
        {"K": random(8, size, 1, 1), "shape": np.array([1, size, 1, 1])},
    )


def concat(a, b):
    nodes = [
        node("Concat", ["x", "h"], ["xh"], axis=1),
        *(node("Conv", ["xh", f"K{n}"], [f"y{n}"], kernel_shape=[1, 1]) for n in "12"),
    ]
    kernels = {f"K{n}": random(16, a + b, 1, 1) for n in "12"}
    return model(
        nodes,
        {"x": [1, a, 1, 1], "h": [1, b, 1, 1]},
        {f"y{n}": [1, 16, 1, 1] for n in "12"},
        kernels,
    )


def cell(F=6, H=16, layers=1):
    spec = make_spec(task="forecast", channels=F, hidden=H, layers=layers, outputs=1)
    return build(spec, random_weights(spec), "cell")


# The rule, the graph that breaks it, its target and scheme, the nearest that does not, with its
# own, and a part of the finding.
PAIRS = [
    ("scheme-not-allowed", cell, ("rv1106", "fp16"),
     cell, ("rv1106", "w8a8"), "fp16 on rv1106: this NPU has no float16; use w8a8"),
    ("scheme-not-allowed", cell, ("rk3562", "w8a16"),
     cell, ("rk3562", "w8a8"), "the cell form crashes the converter"),
    ("rk2118-int8", cell, ("rk2118", "w8a8"),
     cell, ("rk2118", "fp16"), "w8a8 on rk2118 crashes the converter; use fp16"),
    ("opset-too-new", lambda: conv(opset=20), ("rk3588", "fp16"),
     conv, ("rk3588", "fp16"), "opset 20; export it with opset 19"),
    ("dynamic-shape", lambda: conv("N"), ("rk3588", "fp16"),
     conv, ("rk3588", "fp16"), "input 'x' has the shape (?, 8, 1, 1)"),
    ("output-not-4d", lambda: conv_to([1, 3]), ("rk3588", "fp16"),
     lambda: conv_to([1, 8]), ("rk3588", "fp16"), "end in (1, 3, 1, 1)"),
    ("output-not-4d", lambda: conv_to([1, 1, 8]), ("rk3588", "w8a8"),
     lambda: conv_to([1, 16]), ("rk3588", "w8a8"), "a multiple of 16"),
    ("output-not-4d", lambda: conv_to([1]), ("rk3588", "fp16"),
     lambda: conv_to([1, 1, 1, 1]), ("rk3588", "fp16"), "output 'y' has the shape (1,), not"),
    ("output-not-4d", lambda: conv_to([1, 3]), ("rk3566", "fp16"),
     lambda: conv_to([1, 3]), ("rk3576", "fp16"), "(1, 3)"),
    ("output-not-4d", lambda: lstm_gemm_head(3), ("rk3588", "fp16"),
     lambda: lstm_squeezed(20), ("rk3588", "fp16"), "output 'y'"),
    ("output-not-4d", lambda: conv_to([1, 3]), ("rk3588", "fp16"),
     lambda: conv_to([1, 3, 1, 1]), ("rk3588", "fp16"), "'y'"),
    ("input-not-4d", lambda: conv_from([1, 6]), ("rk3566", "fp16"),
     lambda: conv_from([1, 6]), ("rk3588", "fp16"), "read by Reshape"),
    ("input-not-4d", lambda: conv_from([1, 6]), ("rk3568", "w8a8"),
     lambda: lstm_of_2d(6), ("rk3568", "w8a8"), "make it (1, 6, 1, 1)"),
    ("int16-concat", lambda: concat(6, 16), ("rv1106", "w16a16i_dfp"),
     lambda: concat(8, 20), ("rv1106", "w16a16i_dfp"), "pad 6 to 8"),
    ("no-lstm-operator", lstm, ("rv1106b", "w8a8"), lstm, ("rv1106", "w8a8"), "use the cell form"),
    ("no-lstm-operator", lstm, ("rv1103b", "w8a8"),
     cell, ("rv1103b", "w8a8"), "LSTM 'Y' on rv1103b"),
    ("recurrent-output-unnamed", lambda: lstm(outputs="- Yh Yc"), ("rk3588", "fp16"),
     lambda: lstm(outputs="Y Yh"), ("rk3588", "fp16"), "Y,"),
    ("recurrent-output-unnamed", lambda: lstm(outputs="Y - Yc"), ("rv1106", "w8a8"),
     lambda: lstm(outputs="Y"), ("rv1106", "w8a8"), "name Y_h,"),
    ("recurrent-bias-missing", lambda: lstm(operands="x W R - - h c"), ("rk3576", "fp16"),
     lstm, ("rk3576", "fp16"), "one of zeros, (1, 128)"),
    ("recurrent-bias-missing", lambda: lstm(operands="x W R"), ("rk3588", "w8a8"),
     lambda: lstm(operands="x W R"), ("rk3588", "fp16"), ""),
    ("recurrent-batch", lambda: lstm(B=3), ("rk3588", "fp16"),
     lambda: lstm(B=4), ("rk3588", "fp16"), "a batch of 3; use 1 or 4"),
    ("recurrent-batch", lambda: lstm(B=5), ("rk3566", "w8a8"),
     lambda: lstm(B=8), ("rk3566", "w8a8"), "use 1 or 8"),
    ("lstm-hidden-one", lambda: lstm(H=1), ("rk3588", "fp16"),
     lambda: lstm(H=2), ("rk3588", "fp16"), "hidden size 1 in fp16"),
    ("lstm-hidden-one", lambda: lstm(H=1), ("rv1106", "w16a16i_dfp"),
     lambda: lstm(H=1), ("rv1106", "w8a8"), "use 2 or more"),
    ("lstm-hidden-one", lambda: lstm(H=1), ("rk3562", "fp16"),
     lambda: lstm(H=1), ("rk3566", "fp16"), "or the cell form"),
    ("recurrent-attributes", lambda: lstm(operands="x W R B - h c P"), ("rk3588", "fp16"),
     lstm, ("rk3588", "fp16"), "peephole weights P"),
    ("recurrent-attributes", lambda: lstm(input_forget=1), ("rk3588", "fp16"),
     lambda: lstm(input_forget=0), ("rk3588", "fp16"), "_forget 1"),
    ("recurrent-attributes", lambda: lstm(layout=1), ("rk3588", "fp16"),
     lstm, ("rk3588", "fp16"), "layout 1; leave"),
    ("recurrent-attributes", lambda: lstm(layout=0), ("rv1106", "w8a8"),
     lstm, ("rv1106", "w8a8"), "layout 0; leave"),
    ("recurrent-x-reshaped", lambda: lstm_of_4d(6), ("rk3588", "fp16"),
     lambda: lstm_of_4d(8), ("rk3588", "fp16"), "pad it to 8 values"),
    ("recurrent-x-reshaped", lambda: lstm_scaled(8), ("rk3588", "w8a8"),
     lambda: lstm_scaled(16), ("rk3588", "w8a8"), "pad it to 16 values"),
    ("recurrent-x-reshaped", lambda: lstm_scaled(6), ("rk3566", "fp16"),
     lambda: lstm_scaled(6), ("rk3576", "fp16"), "made from 'x'"),
    ("lstm-head-reshaped", lambda: lstm_head(20), ("rk3566", "w8a8"),
     lambda: lstm_head(24), ("rk3566", "w8a8"), "make hidden 24"),
    ("lstm-head-reshaped", lambda: lstm_head(20), ("rk3568", "w8a8"),
     lambda: lstm_head(20), ("rk3588", "w8a8"), "hidden 20"),
    ("conv-on-recurrent-y", lambda: lstm_head(16, "Y"), ("rk3566", "fp16"),
     lambda: lstm_head(16), ("rk3566", "fp16"), "take Y_h"),
    ("conv-on-recurrent-y", lambda: lstm_head(16, "Y"), ("rk3568", "fp16"),
     lambda: lstm_head(16, "Y"), ("rk3588", "fp16"), "Reshape 'h4'"),
]  # fmt: skip
# Rules that one conversion does not show: the manual's word, or they depend on more than the graph.
QUIET = [
    ("lstm-stored-as-float16", lstm, ("rk3576", "w4a16"),
     cell, ("rk3576", "w4a16"), "is stored as float16"),
    ("lstm-stored-as-float16", lstm, ("rk3562", "w8a16"),
     lstm, ("rk3562", "w8a8"), "is stored as float16"),
    ("int16-concat", cell, ("rk3588", "w16a16i_dfp"),
     lstm, ("rk3588", "w16a16i_dfp"), "Concat 'lstm0_joined1' in w16a16i_dfp"),
    ("size-limit", lambda: lstm(F=8200), ("rk3588", "fp16"),
     lambda: lstm(F=8192), ("rk3588", "fp16"), "8200 features; stay within 8192"),
    ("size-limit", lambda: lstm(T=8196), ("rk3588", "fp16"),
     lambda: lstm(T=8192), ("rk3588", "fp16"), "8196 steps"),
    ("lstm-attributes-unlisted", lambda: lstm(clip=0.5), ("rk3588", "fp16"),
     lstm, ("rk3588", "fp16"), "clip 0.5"),
    (
        "lstm-attributes-unlisted",
        lambda: lstm(activations=["Sigmoid", "Relu", "Tanh"]),
        ("rk3588", "fp16"),
        lambda: lstm(activations=["Sigmoid", "Tanh", "Tanh"]),
        ("rk3588", "fp16"),
        "the activations Sigmoid, Relu, Tanh",
    ),
    ("int8-chunk-calibration", lambda: lstm(T=4), ("rk3588", "w8a8"),
     lstm, ("rk3588", "w8a8"), "span -1 to 1"),
    ("int8-chunk-calibration", lambda: lstm(T=4), ("rk3576", "w8a8"),
     lambda: lstm(T=4), ("rk3576", "fp16"), "4 steps in w8a8"),
    (
        "int8-chunk-calibration", lambda: lstm(T=4), ("rk3588", "w8a8"),
        lambda: lstm(T=4, operands="x W R B"), ("rk3588", "w8a8"), "of every initial_h",
    ),
    ("hidden-not-aligned", lambda: lstm(H=60), ("rk3588", "fp16"),
     lambda: lstm(H=64), ("rk3588", "fp16"), "64 is the next multiple of 8"),
    ("steps-not-aligned", lambda: lstm(T=6), ("rk3588", "fp16"),
     lambda: lstm(T=8), ("rk3588", "fp16"), "8 is the next multiple of 4"),
    ("steps-not-aligned", lambda: lstm(T=2), ("rk3588", "fp16"),
     lambda: lstm(T=1), ("rk3588", "fp16"), "has 2 steps"),
]  # fmt: skip

OFFERED = [(t.name, s) for t in targets().values() for s in t.schemes]
