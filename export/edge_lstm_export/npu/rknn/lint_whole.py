"""The rules of `lint` on the target, and on the graph as a whole."""

from __future__ import annotations

import math

from ..finding import Places, Rule
from .lint_graph import SHAPE_ONLY, Graph, next_multiple, node_name


def _scheme_not_allowed(g: Graph) -> Places:
    """The scheme is not offered for the target: the manual does not allow it, the converter refuses
    it, or the model is not of it."""
    if g.scheme not in g.target.schemes and not _crashes_whole_target(g):
        reason = g.target.refused.get(g.scheme, "the manual does not list it")
        yield f"{g.scheme} on {g.target.name}: {reason}", f"use {' or '.join(g.target.schemes)}"


def _crashes_whole_target(g: Graph) -> bool:
    return g.target.name == "rk2118" and g.scheme in ("w8a8", "w16a16i_dfp")


def _rk2118_int8(g: Graph) -> Places:
    """On rk2118 every graph in an integer scheme crashes the converter (SIGABRT, no message)."""
    if _crashes_whole_target(g):
        yield f"{g.scheme} on rk2118 crashes the converter", "use fp16"


def _no_nodes(g: Graph) -> Places:
    """A graph without nodes ends in "IndexError: list index out of range"."""
    if not g.nodes:
        yield "the graph has no nodes", "convert a graph that computes something"


def _opset_too_new(g: Graph) -> Places:
    """The converter reads opsets up to 19: "Unsupport onnx opset 20, need <= 19!"."""
    if g.opset > g.limits.opset:
        yield f"the graph has opset {g.opset}", f"export it with opset {g.limits.opset}"


def _dynamic_shape(g: Graph) -> Places:
    """An input has a size that is not a number: "The input shape ['N', ...] is not support!"."""
    for name in g.inputs:
        if not g.shapes[name] or 0 in g.shapes[name]:
            sizes = ", ".join(str(n or "?") for n in g.shapes[name])
            yield f"input {name!r} has the shape ({sizes})", "give every dimension a fixed size"


def _output_not_4d(g: Graph) -> Places:
    """An output doesn't have four dimensions, is not the LSTM operator's own, and the number of its
    values is not a multiple that the NPU's layout needs: its Reshape goes to the CPU with "Unkown
    op target: 0", and the return code is 0. rk3588, rk3566, rk3568."""
    for name in g.outputs:
        source = g.producer.get(g.through(name, SHAPE_ONLY))
        own = source is not None and source.op_type in ("LSTM", "GRU")
        if len(g.shapes[name]) != 4 and not own and (multiple := g.unaligned(name)):
            yield (
                f"output {name!r} has the shape {g.shapes[name]}, not four dimensions",
                f"reshape before the head and end in (1, {g.count(name)}, 1, 1), "
                f"or make the size a multiple of {multiple}",
            )


def _input_not_4d(g: Graph) -> Places:
    """An input doesn't have four dimensions, and another operator than the LSTM or GRU reads it:
    its Reshape goes to the CPU with "Unkown op target: 0", and the return code is 0. On rk3566 and
    rk3568 that is so if the number of its values is not a multiple that the NPU's layout needs, and
    on rk3588 too if it has rows whose length is not a multiple of 8."""
    for name in g.inputs if g.target.reshape else ():
        shape = g.shapes[name]
        read_by = {node.op_type for node in g.readers(name)} - {"LSTM", "GRU", "Unsqueeze"}
        rows = len(shape) > 2 and math.prod(shape[:-1]) > 1 and shape[-1] % 8
        multiple = g.unaligned(name) if g.target.reshape_inputs else 0
        if len(shape) != 4 and read_by and (rows or multiple):
            yield (
                f"input {name!r} has the shape {shape} and is read by {', '.join(sorted(read_by))}",
                f"make it (1, {g.count(name)}, 1, 1)"
                + ("" if rows else f", or its size a multiple of {multiple}"),
            )


def _input_hangs(g: Graph) -> Places:
    """An input of three or five dimensions that ends in 1, such as (1, 6, 1), and is not read by
    the LSTM or GRU: the converter doesn't end. It was waited for over 60 s."""
    for name in g.inputs:
        shape = g.shapes[name]
        read_by = {node.op_type for node in g.readers(name)} - {"LSTM", "GRU"}
        if len(shape) in (3, 5) and shape[-1] == 1 and math.prod(shape) > 1 and read_by:
            yield f"input {name!r} has the shape {shape}", f"make it (1, {math.prod(shape)}, 1, 1)"


def _int16_concat(g: Graph) -> Places:
    """In w16a16i_dfp a Concat runs on the CPU. On rv1103 and rv1106 it doesn't if all its parts but
    the last are multiples of 8. rk3588, rk3576, rk3562 and rv1126b also log "Lut fuse dtype not
    support yet!". rv1103b, rv1106b and rk2118 crash."""
    if g.scheme != "w16a16i_dfp":
        return
    for node in g.nodes:
        if node.op_type != "Concat":
            continue
        axis = next(a.i for a in node.attribute if a.name == "axis")
        sizes = [g.shapes[name][axis] for name in node.input if g.shapes.get(name)]
        odd = [size for size in sizes[:-1] if size % 8]
        advice = "use the LSTM operator, or an input that is packed already"
        if g.scheme not in g.target.schemes:
            yield f"{node_name(node)} in {g.scheme}", advice
        elif odd:
            yield (
                f"{node_name(node)} joins {' + '.join(map(str, sizes))}",
                f"pad {odd[0]} to {next_multiple(odd[0], 8)}, or {advice}",
            )


WHOLE: dict[str, Rule] = {
    "scheme-not-allowed": Rule("error", _scheme_not_allowed),
    "rk2118-int8": Rule("error", _rk2118_int8),
    "opset-too-new": Rule("error", _opset_too_new),
    "no-nodes": Rule("error", _no_nodes),
    "dynamic-shape": Rule("error", _dynamic_shape),
    "output-not-4d": Rule("error", _output_not_4d),
    "input-not-4d": Rule("error", _input_not_4d),
    "input-hangs": Rule("error", _input_hangs),
    "int16-concat": Rule("error", _int16_concat),
}
