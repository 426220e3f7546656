"""For each operator of ONNX a small graph in four dimensions: the reproducers of operators.toml.

A convolution stands before the operator, so that its operand is computed on the NPU. Where the
answer of the operator is no float, a Cast follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from helpers.lint_graphs import node, random

SHAPE = [1, 16, 4, 4]
Arrays = dict[str, NDArray[Any]]


def graph(nodes, constants=None, *, inputs=None, outputs=("y",), opset=19, domains=()):
    """The shapes of the outputs are found by ONNX."""
    given = inputs or {"x": SHAPE}
    values = [
        helper.make_tensor_value_info(n, *(s if isinstance(s, tuple) else (TensorProto.FLOAT, s)))
        for n, s in given.items()
    ]
    ends = [helper.make_empty_tensor_value_info(name) for name in outputs]
    arrays = [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()]
    made = helper.make_model(
        helper.make_graph(nodes, "g", values, ends, arrays),
        opset_imports=[
            helper.make_opsetid("", opset),
            *(helper.make_opsetid(d, 1) for d in domains),
        ],
        ir_version=9,
    )
    made = onnx.shape_inference.infer_shapes(made, data_prop=True)
    for value in made.graph.output:
        if not value.type.tensor_type.HasField("shape"):  # of a body, or another domain's
            value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, SHAPE))
    return made


def after_conv(
    operator, constants=None, *, then=(), last="y", inputs="c", outputs="", **attributes
):
    """x -> Conv -> c -> the operator -> `last`, then more nodes up to y."""
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node(operator, inputs.split(), (outputs or last).split(), **attributes),
        *then,
    ]
    return graph(nodes, {"K": random(16, 16, 1, 1), **(constants or {})})


def cast(name):
    return [node("Cast", [name], ["y"], to=TensorProto.FLOAT)]


def plain(operator, **attributes):
    return lambda: after_conv(operator, **attributes)


def cast_to(type):
    return plain("Cast", to=type)


def cast_from(type):
    nodes = [
        node("Cast", ["i"], ["c"], to=TensorProto.FLOAT),
        node("Conv", ["c", "K"], ["y"], kernel_shape=[1, 1]),
    ]
    return lambda: graph(nodes, {"K": random(16, 16, 1, 1)}, inputs={"i": (type, SHAPE)})


def with_operand(operator, array, **attributes):
    """A second operand that is a constant."""
    return lambda: after_conv(operator, {"k": np.asarray(array)}, inputs="c k", **attributes)


def compared(operator, *, inputs="c k"):
    return lambda: after_conv(operator, {"k": random(1, 16, 4, 4)}, inputs=inputs)


def two(operator, **attributes):
    """Both operands are computed."""
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("Conv", ["x", "L"], ["d"], kernel_shape=[1, 1]),
        node(operator, ["c", "d"], ["y"], **attributes),
    ]
    return lambda: graph(nodes, {"K": random(16, 16, 1, 1), "L": random(16, 16, 1, 1)})


def divided(operator):
    """Both operands are computed, the first one above 0."""
    held = {"K": random(16, 16, 1, 1) / 10, "b": np.full(16, 0.6, np.float32)}
    nodes = [
        node("Conv", ["x", "K", "b"], ["c"], kernel_shape=[1, 1]),
        node("Conv", ["x", "L", "b"], ["d"], kernel_shape=[1, 1]),
        node(operator, ["c", "d"], ["y"]),
    ]
    return lambda: graph(nodes, {**held, "L": held["K"][::-1].copy()})


def logical(operator, count=2):
    """Of truths that are inputs: a comparison on the NPU logs an error of its own."""
    names = ["p", "q"][:count]
    return lambda: graph(
        [node(operator, names, ["y"])], inputs=dict.fromkeys(names, (TensorProto.BOOL, SHAPE))
    )


def integers(operator, *, inputs="i k", type=TensorProto.INT32, **attributes):
    """The operand is an input: the Cast of a float to it logs an error of its own."""
    nodes = [node(operator, inputs.split(), ["y"], **attributes)]
    k = np.full(SHAPE, 3, helper.tensor_dtype_to_np_dtype(type))
    return lambda: graph(nodes, {"k": k}, inputs={"i": (type, SHAPE)})


def positive(operator, operand=None, *, above=0.6, **attributes):
    """The operand is from `above` - 0.32 to `above` + 0.32 for an x from -1 to 1."""
    held = {"K": random(16, 16, 1, 1) / 10, "b": np.full(16, above, np.float32)}
    nodes = [
        node("Conv", ["x", "K", "b"], ["c"], kernel_shape=[1, 1]),
        node(operator, ["c"] if operand is None else ["c", "k"], ["y"], **attributes),
    ]
    return lambda: graph(nodes, held if operand is None else {**held, "k": operand})


def number(operator, dimensions, **attributes):
    """An operator without operands: its answer is added to the convolution's."""
    nodes = [
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node(operator, [], ["r"], shape=dimensions, **attributes),
        node("Add", ["c", "r"], ["y"]),
    ]
    return lambda: graph(nodes, {"K": random(16, 16, 1, 1)})


def window(operator):
    """Of constant size: the converter can fold it."""
    nodes = [
        node(operator, ["size"], ["w"]),
        node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
        node("Mul", ["c", "w"], ["y"]),
    ]
    return lambda: graph(nodes, {"K": random(16, 16, 1, 1), "size": np.array(4)})


def recurrent(operator, gates, outputs="Y Yh", **attributes):
    states = "x W R B - h c" if operator == "LSTM" else "x W R B - h"
    names = ["" if n == "-" else n for n in states.split()]
    held = {
        "W": random(1, gates * 16, 8),
        "R": random(1, gates * 16, 16),
        "B": random(1, 2 * gates * 16),
    }
    given = {"x": [1, 1, 8]} | {n: [1, 1, 16] for n in "hc" if n in names}
    ends = outputs.split()
    return lambda: graph(
        [node(operator, names, ends, hidden_size=16, **attributes)],
        held,
        inputs=given,
        outputs=ends,
    )


def sequence(*nodes):
    """x -> Conv -> c -> nodes of sequences -> y."""
    return lambda: graph(
        [node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]), *nodes],
        {"K": random(16, 16, 1, 1), "zero": np.array(0), "two": np.array([8, 8])},
    )


def branch(name, operator="Neg"):
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE)
    return helper.make_graph([node(operator, ["c"], [name])], name, [], [value])


def conditional(constant):
    nodes = [node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1])]
    if not constant:
        nodes += [
            node("ReduceSum", ["x"], ["s"], keepdims=0),
            node("Greater", ["s", "zero"], ["chosen"]),
        ]
    nodes.append(
        node("If", ["chosen"], ["y"], then_branch=branch("t"), else_branch=branch("e", "Abs"))
    )
    held = {"K": random(16, 16, 1, 1), "zero": np.float32(0)}
    return graph(nodes, held | ({"chosen": np.array(True)} if constant else {}))


def loop():
    """c doubled three times."""
    tensor = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Add", ["v", "v"], ["w"]), node("Identity", ["go"], ["on"])],
        "body",
        [
            tensor("n", TensorProto.INT64, []),
            tensor("go", TensorProto.BOOL, []),
            tensor("v", TensorProto.FLOAT, SHAPE),
        ],
        [tensor("on", TensorProto.BOOL, []), tensor("w", TensorProto.FLOAT, SHAPE)],
    )
    return graph(
        [
            node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
            node("Loop", ["times", "yes", "c"], ["y"], body=body),
        ],
        {"K": random(16, 16, 1, 1), "times": np.array(3), "yes": np.array(True)},
    )


def scan():
    """The running sum over the first axis of c."""
    tensor = helper.make_tensor_value_info
    part = SHAPE[1:]
    body = helper.make_graph(
        [node("Add", ["s", "v"], ["t"]), node("Identity", ["t"], ["o"])],
        "body",
        [tensor("s", TensorProto.FLOAT, part), tensor("v", TensorProto.FLOAT, part)],
        [tensor("t", TensorProto.FLOAT, part), tensor("o", TensorProto.FLOAT, part)],
    )
    return graph(
        [
            node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
            node("Scan", ["start", "c"], ["end", "y"], body=body, num_scan_inputs=1),
        ],
        {"K": random(16, 16, 1, 1), "start": np.zeros(part, np.float32)},
    )


def mapped():
    tensor = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Neg", ["v"], ["w"])],
        "body",
        [tensor("v", TensorProto.FLOAT, SHAPE)],
        [tensor("w", TensorProto.FLOAT, SHAPE)],
    )
    return sequence(
        node("SequenceConstruct", ["c", "c"], ["s"]),
        node("SequenceMap", ["s"], ["m"], body=body),
        node("SequenceAt", ["m", "zero"], ["y"]),
    )()


def strings():
    nodes = [node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER")]
    return graph(nodes, inputs={"x": (TensorProto.STRING, [4])})


def words():
    nodes = [
        node(
            "TfIdfVectorizer", ["x"], ["y"], max_gram_length=1, max_skip_count=0,
            min_gram_length=1, mode="TF", ngram_counts=[0], ngram_indexes=[0, 1],
            pool_int64s=[2, 3],
        )
    ]  # fmt: skip
    return graph(nodes, inputs={"x": (TensorProto.INT64, [12])})


def norm(operator, count=2, **attributes):
    k = {"s": random(16), "b": random(16), "m": random(16), "v": abs(random(16)) + 1}
    names = list("sbmv")[:count]
    return lambda: after_conv(
        operator,
        {n: k[n] for n in names},
        inputs=" ".join(["c", *names]),
        **attributes,
    )


def layer_norm():
    return after_conv(
        "LayerNormalization",
        {"s": random(4), "b": random(4)},
        inputs="c s b",
        axis=-1,
        epsilon=1e-5,
    )


def quantized(operator):
    """What an int8 graph of another tool has: QuantizeLinear, the operator, DequantizeLinear."""
    scale = {"q": np.float32(0.1), "z": np.int8(0)}
    start = node("QuantizeLinear", ["x", "q", "z"], ["i"])
    w = np.random.default_rng(0).integers(-9, 9, (16, 16, 1, 1)).astype(np.int8)
    if operator == "QLinearConv":
        middle = node(operator, ["i", "q", "z", "w", "q", "z", "q", "z"], ["j"])
        end = node("DequantizeLinear", ["j", "q", "z"], ["y"])
    elif operator == "QLinearMatMul":
        w = w[:4, :4].reshape(1, 1, 4, 4)
        middle = node(operator, ["i", "q", "z", "w", "q", "z", "q", "z"], ["j"])
        end = node("DequantizeLinear", ["j", "q", "z"], ["y"])
    else:
        w = w if operator == "ConvInteger" else w[:4, :4].reshape(1, 1, 4, 4)
        middle = node(operator, ["i", "w"], ["j"])
        end = node("Cast", ["j"], ["y"], to=TensorProto.FLOAT)
    return lambda: graph([start, middle, end], {**scale, "w": w})


def quantize_and_back():
    return graph(
        [
            node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
            node("QuantizeLinear", ["c", "q", "z"], ["i"]),
            node("DequantizeLinear", ["i", "q", "z"], ["y"]),
        ],
        {"K": random(16, 16, 1, 1), "q": np.float32(0.1), "z": np.int8(0)},
    )


def dynamic_quantize():
    return after_conv(
        "DynamicQuantizeLinear",
        outputs="q s z",
        then=[node("DequantizeLinear", ["q", "s", "z"], ["y"])],
    )


def optional(operator):
    if operator == "OptionalHasElement":
        rest = [node(operator, ["o"], ["b"]), *cast("b")]
    else:
        rest = [node("OptionalGetElement", ["o"], ["y"])]
    return sequence(node("Optional", ["c"], ["o"]), *rest)


def indexed(operator, indices, **attributes):
    return with_operand(operator, np.asarray(indices, np.int64), **attributes)


def scattered(operator, indices, updates, **attributes):
    return lambda: after_conv(
        operator,
        {"i": np.asarray(indices, np.int64), "u": updates},
        inputs="c i u",
        **attributes,
    )


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


AXES = np.array([1])
GRAPHS: dict[str, Callable[[], onnx.ModelProto]] = {
    **{
        name: plain(name)
        for name in [
            "Abs",
            "Asinh",
            "Atan",
            "Bernoulli",
            "Ceil",
            "Celu",
            "Cos",
            "Cosh",
            "Dropout",
            "Elu",
            "Erf",
            "Exp",
            "Floor",
            "GlobalAveragePool",
            "GlobalLpPool",
            "GlobalMaxPool",
            "HardSigmoid",
            "HardSwish",
            "Hardmax",
            "Identity",
            "LeakyRelu",
            "LogSoftmax",
            "LpNormalization",
            "MeanVarianceNormalization",
            "Mish",
            "Neg",
            "RandomNormalLike",
            "RandomUniformLike",
            "Relu",
            "Round",
            "Selu",
            "Shrink",
            "Sigmoid",
            "Sign",
            "Sin",
            "Sinh",
            "Softmax",
            "Softplus",
            "Softsign",
            "Tan",
            "Tanh",
            "ThresholdedRelu",
        ]
    },
    **{name: two(name) for name in ["Add", "Max", "Mean", "Min", "Mul", "Sub", "Sum"]},
    **{name: positive(name) for name in ["Acos", "Asin", "Atanh", "Log", "Reciprocal", "Sqrt"]},
    "Acosh": positive("Acosh", above=1.6),
    "Div": divided("Div"),
    "Pow": divided("Pow"),
    "MatMul": two("MatMul"),
    "Mod": two("Mod", fmod=1),
    "Concat": two("Concat", axis=1),
    **{
        name: with_operand(name, AXES, keepdims=1)
        for name in [
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
            "ReduceSum",
            "ReduceSumSquare",
        ]
    },
    "ReduceLogSum": positive("ReduceLogSum", AXES, keepdims=1),
    **{
        name: compared(name)
        for name in ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]
    },
    "IsInf": compared("IsInf", inputs="c"),
    "IsNaN": compared("IsNaN", inputs="c"),
    **{name: logical(name) for name in ["And", "Or", "Xor"]},
    "Not": logical("Not", 1),
    **{name: integers(name) for name in ["BitwiseAnd", "BitwiseOr", "BitwiseXor"]},
    "BitwiseNot": integers("BitwiseNot", inputs="i"),
    "BitShift": integers("BitShift", type=TensorProto.UINT8, direction="LEFT"),
    "ArgMax": plain("ArgMax", axis=1),
    "ArgMin": plain("ArgMin", axis=1),
    "AveragePool": pooled("AveragePool"),
    "LpPool": pooled("LpPool"),
    "MaxPool": pooled("MaxPool"),
    "MaxUnpool": unpool,
    "BatchNormalization": batch_norm,
    "InstanceNormalization": norm("InstanceNormalization"),
    "LayerNormalization": layer_norm,
    "LRN": plain("LRN", size=3),
    **{n: window(n) for n in ("BlackmanWindow", "HammingWindow", "HannWindow")},
    "Cast": cast_to(TensorProto.INT32),
    **{
        f"Cast FLOAT to {TensorProto.DataType.Name(t)}": cast_to(t)
        for t in (
            TensorProto.BOOL,
            TensorProto.INT8,
            TensorProto.INT32,
            TensorProto.INT64,
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
            TensorProto.DOUBLE,
        )
    },
    **{
        f"Cast {TensorProto.DataType.Name(t)} to FLOAT": cast_from(t)
        for t in (
            TensorProto.BOOL,
            TensorProto.INT8,
            TensorProto.INT32,
            TensorProto.INT64,
            TensorProto.FLOAT16,
            TensorProto.DOUBLE,
        )
    },
    "CastLike": with_operand("CastLike", np.float32([0])),
    "CenterCropPad": indexed("CenterCropPad", [2, 2], axes=[2, 3]),
    "Clip": lambda: after_conv(
        "Clip", {"l": np.float32(-0.5), "u": np.float32(0.5)}, inputs="c l u"
    ),
    "Col2Im": columns,
    "Compress": compress,
    "Constant": constant,
    "ConstantOfShape": filled,
    "Conv": conv,
    "ConvInteger": quantized("ConvInteger"),
    "ConvTranspose": conv_transpose,
    "CumSum": indexed("CumSum", 1),
    "DFT": fourier("DFT"),
    "STFT": fourier("STFT"),
    "DeformConv": deform,
    "DepthToSpace": spatial_to_depth("DepthToSpace"),
    "SpaceToDepth": spatial_to_depth("SpaceToDepth"),
    "QuantizeLinear": quantize_and_back,
    "DequantizeLinear": quantize_and_back,
    "DynamicQuantizeLinear": dynamic_quantize,
    "MatMulInteger": quantized("MatMulInteger"),
    "QLinearConv": quantized("QLinearConv"),
    "QLinearMatMul": quantized("QLinearMatMul"),
    "Det": determinant,
    "Einsum": einsum,
    "Expand": lambda: graph(
        [
            node("Conv", ["x", "K"], ["c"], kernel_shape=[1, 1]),
            node("GlobalAveragePool", ["c"], ["p"]),
            node("Expand", ["p", "s"], ["y"]),
        ],
        {"K": random(16, 16, 1, 1), "s": np.array(SHAPE)},
    ),
    "EyeLike": eye,
    "Flatten": reshaped("Flatten"),
    "Reshape": reshaped("Reshape", [1, 256]),
    "Squeeze": reshaped("Squeeze", [0]),
    "Unsqueeze": reshaped("Unsqueeze", [0]),
    "Gemm": gemm,
    "GRU": recurrent("GRU", 3, linear_before_reset=1),
    "LSTM": recurrent("LSTM", 4, "Y Yh Yc"),
    "RNN": recurrent("RNN", 1),
    "Gather": indexed("Gather", [0, 2], axis=1),
    "GatherElements": indexed("GatherElements", np.zeros((1, 16, 4, 4)), axis=1),
    "GatherND": indexed("GatherND", np.zeros((1, 16, 4, 1)), batch_dims=3),
    "GridSample": grid,
    "If": lambda: conditional(constant=False),
    "Loop": loop,
    "Scan": scan,
    "MaxRoiPool": roi("MaxRoiPool"),
    "RoiAlign": roi("RoiAlign"),
    "MelWeightMatrix": mel,
    "Multinomial": lambda: graph(
        [node("Multinomial", ["x"], ["n"], sample_size=4), *cast("n")], inputs={"x": [1, 16]}
    ),
    "NegativeLogLikelihoodLoss": loss("NegativeLogLikelihoodLoss"),
    "SoftmaxCrossEntropyLoss": loss("SoftmaxCrossEntropyLoss"),
    "NonMaxSuppression": suppression,
    "NonZero": nonzero,
    "OneHot": one_hot,
    "Optional": optional("OptionalGetElement"),
    "OptionalGetElement": optional("OptionalGetElement"),
    "OptionalHasElement": optional("OptionalHasElement"),
    "PRelu": with_operand("PRelu", random(16, 1, 1)),
    "Pad": indexed("Pad", [0, 0, 1, 1, 0, 0, 1, 1]),
    "RandomNormal": number("RandomNormal", SHAPE),
    "RandomUniform": number("RandomUniform", SHAPE),
    "Range": counted,
    "Resize": resized,
    "ReverseSequence": reversed_,
    "ScatterElements": scattered(
        "ScatterElements", np.zeros((1, 1, 4, 4)), random(1, 1, 4, 4), axis=1
    ),
    "ScatterND": scattered("ScatterND", [[0, 0]], random(1, 4, 4)),
    "SequenceConstruct": sequence(
        node("SequenceConstruct", ["c", "c"], ["s"]),
        node("ConcatFromSequence", ["s"], ["y"], axis=1),
    ),
    "ConcatFromSequence": sequence(
        node("SequenceConstruct", ["c", "c"], ["s"]),
        node("ConcatFromSequence", ["s"], ["y"], axis=1),
    ),
    "SequenceAt": sequence(
        node("SequenceConstruct", ["c", "c"], ["s"]), node("SequenceAt", ["s", "zero"], ["y"])
    ),
    "SequenceEmpty": sequence(
        node("SequenceEmpty", [], ["e"]),
        node("SequenceInsert", ["e", "c"], ["s"]),
        node("SequenceAt", ["s", "zero"], ["y"]),
    ),
    "SequenceInsert": sequence(
        node("SequenceConstruct", ["c"], ["t"]),
        node("SequenceInsert", ["t", "c"], ["s"]),
        node("SequenceAt", ["s", "zero"], ["y"]),
    ),
    "SequenceErase": sequence(
        node("SequenceConstruct", ["c", "c"], ["t"]),
        node("SequenceErase", ["t", "zero"], ["s"]),
        node("SequenceAt", ["s", "zero"], ["y"]),
    ),
    "SequenceLength": sequence(
        node("SequenceConstruct", ["c", "c"], ["t"]),
        node("SequenceLength", ["t"], ["n"]),
        node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        node("Mul", ["c", "f"], ["y"]),
    ),
    "SequenceMap": mapped,
    "SplitToSequence": split_sequence(),
    "Shape": shaped("Shape"),
    "Size": shaped("Size"),
    "Slice": lambda: after_conv(
        "Slice",
        {"a": np.array([0]), "b": np.array([8]), "d": np.array([1])},
        inputs="c a b d",
    ),
    "Split": split,
    "StringNormalizer": strings,
    "TfIdfVectorizer": words,
    "Tile": indexed("Tile", [1, 1, 1, 2]),
    "TopK": top,
    "Transpose": plain("Transpose", perm=[0, 2, 1, 3]),
    "Trilu": plain("Trilu"),
    "Unique": unique,
    "Where": chosen,
    # Variants: by a mode, by an operand that is constant where the row above has a computed one or
    # the other way round, and by steps.
    **{
        f"{n} constant": with_operand(n, np.float32(k))
        for n, k in {"Add": 0.5, "Max": 0, "Min": 0, "Mul": 2, "Sub": 0.5}.items()
    },
    "Div constant": with_operand("Div", np.float32(2)),
    "Pow constant": with_operand("Pow", np.float32(2)),
    "MatMul constant": with_operand("MatMul", random(4, 4)),
    "Gather computed": picked,
    "Conv computed": convolved,
    **{
        f"Pad {m}": indexed("Pad", [0, 0, 1, 1, 0, 0, 1, 1], mode=m)
        for m in ("reflect", "edge", "wrap")
    },
    **{f"Resize {m}": lambda m=m: resized(m) for m in ("nearest", "linear", "cubic")},
    **{
        f"Transpose {p}": plain("Transpose", perm=[int(n) for n in p])
        for p in ("0321", "0132", "0231", "0312", "1023")
    },
    "Slice steps": lambda: after_conv(
        "Slice",
        {"a": np.array([0]), "b": np.array([16]), "d": np.array([1]), "e": np.array([2])},
        inputs="c a b d e",
    ),
    "Scatter": scatter,
    "Upsample": lambda: older("Upsample", 9, {"k": np.float32([1, 1, 2, 2])}),
}
