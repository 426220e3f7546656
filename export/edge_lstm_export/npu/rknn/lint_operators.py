"""The rules of `lint` on what a graph is made of: operators, domains, types.

They allow what operators.toml says that the converter takes, and nothing else. A node is not
looked at if no answer needs it, or if it is computed from constants alone: the converter drops the
first and folds the second.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import onnx
from onnx import TensorProto

from ..finding import Places, Rule
from .lint_graph import STANDARD, Graph, node_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OUTCOMES = ("npu", "cpu", "error", "refused", "crash")
CONTROL = ("If", "Loop", "Scan")
_ELSEWHERE = {"LSTM", *CONTROL}  # a rule of their own says it
# Refused even if they are constant, or no answer needs them.
_ALWAYS = ("Random", "Sequence", "Optional", "SplitToSequence", "ConcatFromSequence")
_AWAY = "take it out of the graph, or compute it before or after the net"


@functools.cache
def _file() -> Mapping[str, Any]:
    """operators.toml. Its top explains the keys."""
    return tomllib.loads(files(__package__).joinpath("operators.toml").read_text("utf-8"))


def operators() -> Mapping[str, Mapping[str, Any]]:
    rows: Mapping[str, Mapping[str, Any]] = _file()["operator"]
    return rows


def outcome(row: str, target: str, scheme: str) -> str:
    """One of OUTCOMES, or "" for an operator that was never tried."""
    target = _file()["like"].get(target, target)
    for where in (f"{target} {scheme}", target, scheme, "*"):
        for name in OUTCOMES:
            if where in operators().get(row, {}).get(name, ()):
                return name
    return ""


def kind(g: Graph, node: onnx.NodeProto) -> str:
    """The row of the node: that of its variant if there is one, such as "Cast FLOAT to INT64"."""
    name = node.op_type
    if name in ("Sqrt", "Div") and g.norm(node):
        return "LayerNormalization"
    if name == "Transpose" and not g.moves(node):
        return "Reshape"
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    variants = []
    if name == "Cast":
        types = (g.types.get(node.input[0], 0), attributes["to"])
        variants.append("{} {} to {}".format(name, *map(TensorProto.DataType.Name, types)))
    if isinstance(mode := attributes.get("mode"), bytes):
        variants.append(f"{name} {mode.decode(errors='replace')}")
    if name == "Slice" and set(g.numbers(*node.input[4:5])) - {1}:
        variants.append("Slice steps")
    if name == "Transpose":
        variants.append("Transpose " + "".join(map(str, attributes.get("perm", []))))
    if name == "MatMul" and node.input[1] in g.constants:
        rows = g.shapes.get(node.input[0], (0,))[:-1]
        variants += ["MatMul row"] if math.prod(rows) == 1 else []
    second = node.input[1] if len(node.input) > 1 else ""
    if second and second not in g.constants and node.input[0]:
        variants.append(f"{name} computed")
    if any(operand in g.constants for operand in node.input):
        variants.append(f"{name} constant")
    return next((v for v in variants if v in operators()), name)


def _in_words(nodes: list[onnx.NodeProto]) -> str:
    first = node_name(nodes[0])
    kinds = " and ".join(dict.fromkeys(node.op_type for node in nodes))
    return f"{len(nodes)} × {kinds}, the first {first}," if nodes[1:] else first


def _that_are(g: Graph, *wanted: str) -> Iterator[tuple[str, str, str]]:
    """The operators of an outcome: row, nodes in words, what the converter says."""
    found: dict[str, list[onnx.NodeProto]] = {}
    always = (node for node in g.nodes if node.op_type.startswith(_ALWAYS))
    for node in {id(node): node for node in (*g.computed, *always)}.values():
        if node.domain in STANDARD and node.op_type not in _ELSEWHERE:
            found.setdefault(kind(g, node), []).append(node)
    for row, nodes in found.items():
        if outcome(row, g.target.name, g.scheme) in wanted:
            said = operators().get(row, {}).get("says", "")
            yield row, _in_words(nodes), f': "{said}"' if said else ""


def _instead(operator: str) -> str:
    advice: str = operators()[operator].get("instead", _AWAY)
    return advice


def _operator_unknown(g: Graph) -> Places:
    """An operator that operators.toml doesn't have: nobody has tried it with the converter. It is
    an error, because the table has every operator of ONNX up to opset 19: whatever is missing is
    newer than the converter."""
    for _, words, _ in _that_are(g, ""):
        yield f"{words}: never tried with this converter", _AWAY


def _operator_refused(g: Graph) -> Places:
    """The converter refuses the operator, or crashes."""
    for operator, words, said in _that_are(g, "refused"):
        yield f"{words} is refused{said}", _instead(operator)
    for operator, words, said in _that_are(g, "crash"):
        yield f"{words} crashes the converter{said}", _instead(operator)


def _operator_logs_error(g: Graph) -> Places:
    """The operator goes to the CPU with an error line, most often "Unkown op target: 0", and the
    return code is 0."""
    for operator, words, said in _that_are(g, "error"):
        yield f"{words} goes to the CPU with an error line{said}", _instead(operator)


def _operator_on_cpu(g: Graph) -> Places:
    """The operator, or a Transpose or Reshape that the converter puts beside it, goes to the CPU,
    without a message. Whether a board's library has it there was not tried."""
    for operator, words, _ in _that_are(g, "cpu"):
        yield (
            f"{words} goes to the CPU",
            operators()[operator].get("instead", "try it on the board"),
        )


def _control_flow(g: Graph) -> Places:
    """If and Loop are refused: "will cause the graph to be a dynamic graph", or a KeyError or
    TypeError. Scan goes to the CPU with "Meet unsupported onnx attribute". A condition that is a
    constant is refused too."""
    for node in g.nodes:
        if node.domain not in STANDARD or node.op_type not in CONTROL:
            continue
        if node.op_type == "If" and node.input[0] in g.constants:
            yield (
                f"{node_name(node)}, whose condition is a constant",
                "fold it: optimize the graph with ONNX Runtime's basic level, then with onnxsim",
            )
        elif node.op_type == "If":
            yield (
                f"{node_name(node)}, whose condition {node.input[0]!r} is computed",
                "export the branch that you need alone, or compute both and choose by a product",
            )
        else:
            yield f"{node_name(node)}", "unroll it into one step, and carry its state outside"


def _custom_domain(g: Graph) -> Places:
    """An operator of another domain than ONNX's own. The converter refuses those that its ONNX
    Runtime doesn't know ("is not a registered function/op"), functions of the model among them, and
    puts the others on the CPU, where no manual says that a board has them."""
    found: dict[tuple[str, str], list[onnx.NodeProto]] = {}
    for node in g.nodes:
        if node.domain not in STANDARD:
            found.setdefault((node.domain, node.op_type), []).append(node)
    for (domain, _), nodes in found.items():
        yield (
            f"{_in_words(nodes)} is of the domain {domain!r}",
            "export it with ONNX's own operators",
        )


def _attribute_left_out(g: Graph) -> Places:
    """LayerNormalization without axis or epsilon ends in "KeyError: 'LayerNormalization'", and
    ConstantOfShape without value in "'numpy.ndarray' object has no attribute 'data_type'". ONNX has
    defaults for all three."""
    norms = [(n, name) for n in g.computed for name in ("axis", "epsilon")]
    shapes = [(n, "value") for n in g.nodes]
    wanted = [(n, name) for n, name in norms if n.op_type == "LayerNormalization"]
    wanted += [(n, name) for n, name in shapes if n.op_type == "ConstantOfShape"]
    for node, name in wanted:
        if node.domain in STANDARD and name not in {a.name for a in node.attribute}:
            yield f"{node_name(node)} has no {name}", "state it, even if it is ONNX's default"


def _training_mode(g: Graph) -> Places:
    """BatchNormalization in training mode is refused ("which is not supperted"), and Dropout in
    training mode crashes the converter (SIGABRT)."""
    for node in g.computed:
        mode = any(a.name == "training_mode" and a.i for a in node.attribute)
        if node.op_type == "Dropout":
            mode = any(g.numbers(*node.input[2:3])) or (
                len(node.input) > 2 and node.input[2] not in ("", *g.constants)
            )
        if mode:
            yield f"{node_name(node)} is in training mode", "export the net in evaluation mode"


_TYPES = {
    getattr(TensorProto, name): name.lower()
    for name in ("UINT8", "UINT16", "UINT32", "UINT64", "BFLOAT16", "STRING")
}
_INPUT_TYPES = {**_TYPES, TensorProto.INT16: "int16"}


def _tensor_type(g: Graph) -> Places:
    """Computed tensors of some types crash the converter (uint8, uint16, uint32, uint64: "Not
    Support Dtype", SIGABRT) or are refused (bfloat16: "No corresponding Numpy type"; strings), and
    so are inputs of these types or int16 ("Not support input data type")."""
    used = {name for node in g.computed for name in (*node.input, *node.output)}
    for name in dict.fromkeys((*g.inputs, *g.types)):
        known = _INPUT_TYPES if name in g.inputs else _TYPES
        if name in used and name not in g.constants and (words := known.get(g.types.get(name, 0))):
            yield f"{name!r} is of the type {words}", "use float, int32 or int64"


OPERATORS: dict[str, Rule] = {
    "custom-domain": Rule("error", _custom_domain),
    "control-flow": Rule("error", _control_flow),
    "operator-unknown": Rule("error", _operator_unknown),
    "operator-refused": Rule("error", _operator_refused),
    "operator-logs-error": Rule("error", _operator_logs_error),
    "attribute-left-out": Rule("error", _attribute_left_out),
    "training-mode": Rule("error", _training_mode),
    "tensor-type": Rule("error", _tensor_type),
    "operator-on-cpu": Rule("warning", _operator_on_cpu),
}
