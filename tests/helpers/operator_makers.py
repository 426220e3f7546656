"""Makes small graphs of one operator each, in four dimensions.

A convolution stands before the operator, so that its operand is computed on the NPU.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from helpers.lint_graphs import node, random

SHAPE = [1, 16, 4, 4]


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
