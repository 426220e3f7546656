"""More pairs for the rules of lint, of the operators' graphs: see `lint_graphs.PAIRS`."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from helpers.lint_graphs import lstm, node, random
from helpers.operator_graphs import GRAPHS
from helpers.operator_makers import SHAPE, after_conv, conditional, graph
from helpers.operator_singles import conv, resized


def gru(operator="GRU", operands="x W R B - h", ends="Y Yh", batch=1, **attributes):
    """The bare operator with its state, and both outputs named. ends: those of the graph."""
    gates = {"GRU": 3, "RNN": 1}[operator]
    names = ["" if n == "-" else n for n in operands.split()]
    held = {
        "W": random(1, gates * 16, 8),
        "R": random(1, gates * 16, 16),
        "B": random(1, 2 * gates * 16),
    }
    layer = node(operator, names, ["Y", "Yh"], hidden_size=16, **attributes)
    given = {"x": [1, batch, 8], "h": [1, batch, 16]}
    constants = {n: a for n, a in held.items() if n in names}
    return graph([layer], constants, inputs=given, outputs=ends.split())


def gru_unnamed():
    result = gru(ends="Yh")
    result.graph.node[0].output[0] = ""
    return result


def folded():
    """What `conditional(constant=True)` comes to."""
    return after_conv("Neg")


def custom(domain, operator):
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        helper.make_node(operator, ["c"], ["y"], name="y", domain=domain),
    ]
    return graph(nodes, {"K": random(16, 16, 1, 1)}, domains=(domain,))


def function():
    """A function of the model itself."""
    result = custom("local", "Half")
    body = [helper.make_node("Sigmoid", ["a"], ["b"])]
    opsets = [helper.make_opsetid("", 19)]
    result.functions.append(helper.make_function("local", "Half", ["a"], ["b"], body, opsets))
    return result


def quantized_lstm():
    """ONNX Runtime's DynamicQuantizeLSTM."""
    held = {
        "W": np.ones((1, 8, 64), np.int8),
        "R": np.ones((1, 16, 64), np.int8),
        "B": random(1, 128),
        **{n: np.float32([0.1]) for n in ("ws", "rs")},
        **{n: np.int8([0]) for n in ("wz", "rz")},
    }
    names = ["x", "W", "R", "B", "", "h", "c", "ws", "wz", "rs", "rz"]
    layer = helper.make_node(
        "DynamicQuantizeLSTM",
        names,
        ["Y", "Yh", "Yc"],
        name="Y",
        domain="com.microsoft",
        hidden_size=16,
    )
    given = {"x": [1, 1, 8], "h": [1, 1, 16], "c": [1, 1, 16]}
    return graph([layer], held, inputs=given, outputs=["Y"], domains=("com.microsoft",))


def nothing():
    return graph([], inputs={"x": SHAPE}, outputs=["x"])


def copied():
    return graph([node("Identity", ["x"], ["y"])])


def norm(**attributes):
    return after_conv(
        "LayerNormalization", {"s": random(4), "b": random(4)}, inputs="c s b", **attributes
    )


def filled(**attributes):
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("ConstantOfShape", ["s"], ["r"], **attributes),
        node("Add", ["c", "r"], ["y"]),
    ]
    return graph(nodes, {"K": random(16, 16, 1, 1), "s": np.array(SHAPE)})


def trained(operator):
    if operator == "Dropout":
        held = {"r": np.float32(0.5), "t": np.array(True)}
        return after_conv(operator, held, inputs="c r t")
    held = {n: abs(random(16)) + 0.1 for n in "sbmv"}
    nodes = [
        node("Sigmoid", ["x"], ["c"]),
        node(operator, ["c", *held], ["y", "m2", "v2"], training_mode=1),
    ]
    return graph(nodes, held)


def given_as(type):
    nodes = [
        node("Cast", ["i"], ["c"], to=TensorProto.FLOAT),
        node("Conv", ["c", "K"], ["y"], kernel_shape=[1, 1]),
    ]
    return graph(nodes, {"K": random(16, 16, 1, 1)}, inputs={"i": (type, SHAPE)})


def conv_after(shape):
    """An input of the shape, reshaped for a convolution."""
    size = int(np.prod(shape))
    nodes = [
        node("Reshape", ["x", "s"], ["c"]),
        node("Conv", ["c", "K"], ["y"], kernel_shape=[1, 1]),
    ]
    held = {"K": random(8, size, 1, 1), "s": np.array([1, size, 1, 1])}
    return graph(nodes, held, inputs={"x": shape})


def gru_head(of):
    """A convolution on Y or x."""
    layer = node("GRU", ["x", "W", "R", "B", "", "h"], ["Y", "Yh"], hidden_size=16)
    nodes = [
        *([] if of == "Y" else [node("Reshape", ["x4", "line"], ["x"])]),
        layer,
        node("Reshape", ["Y", "s"], ["c"]),
        node("Conv", ["c", "K"], ["y"], kernel_shape=[1, 1]),
    ]
    size = 6 if of == "x4" else 8
    held = {
        "W": random(1, 48, size),
        "R": random(1, 48, 16),
        "B": random(1, 96),
        "s": np.array([1, 16, 1, 1]),
        "K": random(3, 16, 1, 1),
        "line": np.array([1, 1, size]),
    }
    first = {"x": [1, 1, size]} if of == "Y" else {"x4": [1, size, 1, 1]}
    return graph(nodes, held, inputs={**first, "h": [1, 1, 16]}, outputs=["y", "Yh"])


VALUE = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.5])
RK, OLD, SMALL = ("rk3588", "fp16"), ("rk3566", "fp16"), ("rv1106", "w8a8")
READ = "take Y, of which Y_h is the last step"
MORE_PAIRS = [
    ("no-nodes", nothing, RK, copied, RK, "the graph has no nodes"),
    ("no-nodes", nothing, OLD, copied, OLD, "the graph has no nodes"),
    ("recurrent-y-unused", lambda: gru(ends="Yh"), RK, gru, RK, f"Y of GRU 'Y'; {READ}"),
    ("recurrent-y-unused", lambda: gru(ends="Yh"), OLD, lambda: lstm(outputs="Y Yh"), OLD, READ),
    ("recurrent-y-unused", lambda: gru("RNN", ends="Yh"), SMALL, lstm, SMALL, "RNN 'Y'"),
    ("recurrent-output-unnamed", gru_unnamed, RK, gru, RK, READ),
    ("recurrent-bias-missing", lambda: gru(operands="x W R - - h"), RK, gru, RK, "zeros, (1, 96)"),
    ("recurrent-batch", lambda: gru(batch=2), RK, lambda: gru(batch=4), RK, "use 1 or 4"),
    ("recurrent-attributes", lambda: gru(layout=0), RK, gru, RK, "layout 0; leave"),
    ("recurrent-x-reshaped", lambda: gru_head("x4"), RK, lambda: gru_head("Y"), RK,
     "GRU 'Y' reads"),
    ("conv-on-recurrent-y", lambda: gru_head("Y"), OLD, gru, OLD, "use the cell form"),
    ("input-not-4d", lambda: conv_after([1, 16, 4]), RK, lambda: conv_after([1, 3, 8]), RK,
     "the shape (1, 16, 4) and is read by Reshape; make it (1, 64, 1, 1)"),
    ("control-flow", lambda: conditional(True), RK, folded, RK, "fold it: optimize the graph"),
    ("control-flow", lambda: conditional(False), SMALL, folded, SMALL, "'chosen' is computed"),
    ("control-flow", GRAPHS["Loop"], OLD, GRAPHS["Add"], OLD, "Loop 'y'; unroll it"),
    ("control-flow", GRAPHS["Scan"], RK, GRAPHS["Add"], RK, "Scan 'end'"),
    ("custom-domain", lambda: custom("my.own", "Foo"), RK, conv, RK, "of the domain 'my.own'"),
    ("custom-domain", lambda: custom("com.microsoft", "Gelu"), RK, conv, RK, "Gelu 'y' is of"),
    ("custom-domain", function, RK, conv, RK, "Half 'y' is of the domain 'local'"),
    ("custom-domain", quantized_lstm, SMALL, lstm, SMALL, "DynamicQuantizeLSTM 'Y'"),
    ("operator-refused", GRAPHS["RandomNormalLike"], RK, conv, RK,
     "RandomNormalLike 'y' is refused"),
    ("operator-refused", GRAPHS["NonZero"], SMALL, conv, SMALL, "NonZero 'n' is refused"),
    ("operator-refused", lambda: resized("cubic"), RK, resized, RK,
     'crashes the converter: "SIGSEGV"'),
    ("operator-logs-error", GRAPHS["Greater"], RK, GRAPHS["Clip"], RK,
     'Greater \'y\' goes to the CPU with an error line: "Unkown op target: 0"'),
    ("operator-logs-error", GRAPHS["RNN"], RK, GRAPHS["GRU"], RK, "RNN 'Y' goes to"),
    ("operator-on-cpu", GRAPHS["Cos"], RK, GRAPHS["Tanh"], RK, "Cos 'y' goes to the CPU"),
    ("operator-on-cpu", GRAPHS["Pow"], RK, GRAPHS["Pow constant"], RK, "Pow 'y'"),
    ("operator-on-cpu", GRAPHS["Transpose"], OLD, GRAPHS["Transpose"], RK, "Transpose 'y'"),
    ("attribute-left-out", lambda: norm(axis=-1), RK,
     lambda: norm(axis=-1, epsilon=1e-5), RK, "has no epsilon"),
    ("attribute-left-out", lambda: norm(epsilon=1e-5), RK,
     lambda: norm(axis=-1, epsilon=1e-5), RK, "'y' has no axis; state it"),
    ("attribute-left-out", filled, RK, lambda: filled(value=VALUE), RK, "has no value"),
    ("training-mode", lambda: trained("Dropout"), RK, GRAPHS["Dropout"], RK, "in training mode"),
    ("training-mode", lambda: trained("BatchNormalization"), RK,
     GRAPHS["BatchNormalization"], RK, "in evaluation mode"),
    ("tensor-type", lambda: given_as(TensorProto.UINT8), RK,
     lambda: given_as(TensorProto.INT8), RK, "'i' is of the type uint8"),
    ("tensor-type", lambda: given_as(TensorProto.INT16), RK,
     lambda: given_as(TensorProto.INT32), RK, "type int16; use float"),
]  # fmt: skip
# A newer operator is not in the table, and its opset is refused as well. The converter doesn't end
# on the input.
MORE_QUIET = [
    ("input-hangs", lambda: conv_after([1, 6, 1]), RK,
     lambda: conv_after([1, 6]), RK, "the shape (1, 6, 1); make it (1, 6, 1, 1)"),
    ("operator-unknown", lambda: graph([node("Gelu", ["x"], ["y"])], opset=20), RK,
     conv, RK, "Gelu 'y': never tried with this converter"),
]  # fmt: skip
