"""Small graphs of those operators that need one of their own: see `operator_makers`."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from helpers.lint_graphs import node, random
from helpers.operator_makers import SHAPE, after_conv, cast, graph, plain, sequence


def loss(operator):
    """(1, 16, 4, 4) against the class of each place."""
    return lambda: after_conv(operator, {"t": np.ones((1, 4, 4), np.int64)}, inputs="c t")


def fourier(operator):
    if operator == "DFT":
        return lambda: graph([node("DFT", ["x"], ["y"], axis=1)], inputs={"x": [1, 256, 1]})
    nodes = [node("STFT", ["x", "step", "w"], ["y"])]
    return lambda: graph(nodes, {"step": np.array(64), "w": random(128)}, inputs={"x": [1, 256, 1]})


def mel():
    """Its operands are numbers: the converter can fold it."""
    held = {n: np.array(v) for n, v in {"b": 4, "n": 6, "r": 8000}.items()}
    held |= {"l": np.float32(0), "u": np.float32(4000), "K": random(16, 16, 1, 1)}
    nodes = [
        node("MelWeightMatrix", list("bnrlu"), ["m"]),
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("MatMul", ["c", "m"], ["y"]),
    ]
    return graph(nodes, held)


def pooled(operator, **attributes):
    return plain(operator, kernel_shape=[2, 2], strides=[2, 2], **attributes)


def unpool():
    small = [1, 16, 2, 2]
    return graph(
        [node("MaxUnpool", ["x", "i"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
        {"i": np.arange(64).reshape(small) * 4},
        inputs={"x": small},
    )


def deform():
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("Conv", ["x", "O"], ["o"], kernel_shape=[1, 1]),
        node("DeformConv", ["c", "W", "o"], ["y"], kernel_shape=[1, 1]),
    ]
    return graph(
        nodes, {"K": random(16, 16, 1, 1), "O": random(2, 16, 1, 1), "W": random(16, 16, 1, 1)}
    )


def grid():
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("GridSample", ["c", "g"], ["y"]),
    ]
    return graph(nodes, {"K": random(16, 16, 1, 1), "g": random(1, 4, 4, 2)})


def roi(operator):
    boxes = np.array([[0, 0, 2, 2]], np.float32)
    if operator == "MaxRoiPool":
        held = {"r": np.array([[0, 0, 0, 2, 2]], np.float32)}
        return lambda: after_conv(operator, held, inputs="c r", pooled_shape=[2, 2])
    held = {"r": boxes, "n": np.array([0])}
    return lambda: after_conv(operator, held, inputs="c r n", output_height=2, output_width=2)


def suppression():
    nodes = [
        node("NonMaxSuppression", ["x", "s", "most"], ["n"]),
        node("Cast", ["n"], ["y"], to=TensorProto.FLOAT),
    ]
    return graph(nodes, {"s": abs(random(1, 1, 6)), "most": np.array([3])}, inputs={"x": [1, 6, 4]})


def shaped(operator):
    """The shape of a computed tensor: a constant to the converter."""
    return lambda: after_conv(
        operator,
        last="n",
        then=[
            node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
            node("Reshape", ["f", "four"], ["g"]),
            node("Mul", ["c", "g"], ["y"]),
        ],
        constants={"four": np.array([1, 1, 1, 4 if operator == "Shape" else 1])},
    )


def filled():
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("ConstantOfShape", ["s"], ["r"], value=helper.make_tensor("v", 1, [1], [0.5])),
        node("Add", ["c", "r"], ["y"]),
    ]
    return graph(nodes, {"K": random(16, 16, 1, 1), "s": np.array(SHAPE)})


def constant():
    value = numpy_helper.from_array(random(*SHAPE))
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("Constant", [], ["r"], value=value),
        node("Add", ["c", "r"], ["y"]),
    ]
    return graph(nodes, {"K": random(16, 16, 1, 1)})


def counted():
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("Range", ["a", "b", "d"], ["r"]),
        node("Mul", ["c", "r"], ["y"]),
    ]
    held = {n: np.float32(v) for n, v in {"a": 0, "b": 4, "d": 1}.items()}
    return graph(nodes, {"K": random(16, 16, 1, 1), **held})


def chosen():
    """By truths that are an input: a comparison on the NPU logs an error of its own."""
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("Where", ["m", "c", "k"], ["y"]),
    ]
    return graph(
        nodes,
        {"K": random(16, 16, 1, 1), "k": random(*SHAPE)},
        inputs={"x": SHAPE, "m": (TensorProto.BOOL, SHAPE)},
    )


def one_hot():
    nodes = [node("OneHot", ["x", "depth", "values"], ["y"], axis=1)]
    return graph(
        nodes,
        {"depth": np.array(16), "values": np.array([0, 1], np.float32)},
        inputs={"x": (TensorProto.INT64, [1, 4, 4])},
    )


def einsum():
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("Einsum", ["c", "k"], ["y"], equation="bchw,wv->bchv"),
    ]
    return graph(nodes, {"K": random(16, 16, 1, 1), "k": random(4, 4)})


def gemm():
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("Flatten", ["c"], ["f"]),
        node("Gemm", ["f", "G", "b"], ["g"]),
        node("Reshape", ["g", "four"], ["y"]),
    ]
    return graph(
        nodes,
        {
            "K": random(16, 16, 1, 1),
            "G": random(256, 32),
            "b": random(32),
            "four": np.array([1, 32, 1, 1]),
        },
    )


def reshaped(operator, middle=None, **attributes):
    """To another number of dimensions and back."""
    k = {"k": np.asarray(middle, np.int64)} if middle is not None else {}
    return lambda: after_conv(
        operator,
        {**k, "four": np.array(SHAPE)},
        inputs="c k" if k else "c",
        last="m",
        then=[node("Neg", ["m"], ["n"]), node("Reshape", ["n", "four"], ["y"])],
        **attributes,
    )


def spatial_to_depth(operator):
    return plain(operator, blocksize=2)


def split():
    return after_conv(
        "Split", outputs="a b", num_outputs=2, axis=1, then=[node("Add", ["a", "b"], ["y"])]
    )


def compress():
    return after_conv("Compress", {"k": np.array([True, False, True, True])}, inputs="c k", axis=3)


def top():
    return after_conv("TopK", {"k": np.array([2])}, inputs="c k", outputs="y i", axis=1)


def unique():
    return after_conv("Unique")


def determinant():
    return after_conv(
        "Det",
        last="d",
        constants={"four": np.array([1, 16, 1, 1])},
        then=[node("Reshape", ["d", "four"], ["y"])],
    )


def columns():
    return graph(
        [node("Col2Im", ["x", "i", "k"], ["y"])],
        {"i": np.array([4, 4]), "k": np.array([1, 1])},
        inputs={"x": [1, 16, 16]},
    )


def reversed_():
    return after_conv(
        "ReverseSequence", {"n": np.array([1] * 16)}, inputs="c n", batch_axis=1, time_axis=0
    )


def eye():
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("EyeLike", ["k"], ["e"]),
        node("MatMul", ["c", "e"], ["y"]),
    ]
    return graph(nodes, {"K": random(16, 16, 1, 1), "k": random(4, 4)})


def split_sequence():
    return sequence(
        node("SplitToSequence", ["c", "two"], ["s"], axis=1),
        node("SequenceAt", ["s", "zero"], ["y"]),
    )


def nonzero():
    return after_conv("NonZero", last="n", then=cast("n"))


def batch_norm():
    k = {"s": random(16), "b": random(16), "m": random(16), "v": abs(random(16)) + 1}
    nodes = [
        node("Sigmoid", ["x"], ["c"]),  # a convolution would swallow it
        node("BatchNormalization", ["c", *k], ["y"]),
    ]
    return graph(nodes, k)


def conv():
    return graph(
        [node("Conv", ["x", "K"], ["y"], kernel_shape=[1, 1])], {"K": random(16, 16, 1, 1)}
    )


def conv_transpose():
    return graph(
        [node("ConvTranspose", ["x", "K"], ["y"], kernel_shape=[2, 2], strides=[2, 2])],
        {"K": random(16, 16, 2, 2)},
    )


def row():
    """A matrix on one row of values, as of a dense layer."""
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("Reshape", ["c", "line"], ["r"]),
        node("MatMul", ["r", "k"], ["m"]),
        node("Reshape", ["m", "four"], ["y"]),
    ]
    held = {"K": random(16, 16, 1, 1), "k": random(16, 16)}
    shapes = {"line": np.array([1, 1, 16]), "four": np.array([1, 16, 1, 1])}
    return graph(nodes, held | shapes, inputs={"x": [1, 16, 1, 1]})


def picked():
    """A row of a table, by an index that is an input: an embedding."""
    nodes = [
        node("Gather", ["E", "x"], ["g"], axis=0),
        node("Reshape", ["g", "four"], ["h"]),
        node("Conv", ["h", "K"], ["y"], kernel_shape=[1, 1]),
    ]
    held = {"E": random(32, 16), "four": np.array([1, 16, 1, 1]), "K": random(16, 16, 1, 1)}
    return graph(nodes, held, inputs={"x": (TensorProto.INT64, [1])})


def convolved():
    """By weights that are computed."""
    nodes = [node("Sigmoid", ["w"], ["K"]), node("Conv", ["x", "K"], ["y"], kernel_shape=[1, 1])]
    return graph(nodes, inputs={"x": SHAPE, "w": [16, 16, 1, 1]})


def older(operator, opset, held, **attributes):
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node(operator, ["c", *held], ["y"], **attributes),
    ]
    return graph(nodes, {"K": random(16, 16, 1, 1), **held}, opset=opset)


def scatter():
    held = {"i": np.zeros((1, 1, 4, 4), np.int64), "u": random(1, 1, 4, 4)}
    return older("Scatter", 9, held, axis=1)


def resized(mode="nearest"):
    return graph(
        [
            node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
            node("Resize", ["c", "", "k"], ["y"], mode=mode),
        ],
        {"K": random(16, 16, 1, 1), "k": np.array([1, 1, 2, 2], np.float32)},
    )
