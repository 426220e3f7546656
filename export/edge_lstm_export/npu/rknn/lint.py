"""Finds in an ONNX graph, before a conversion, all that the converter refuses or takes badly.

A rule is a function of the graph's facts. For each place that breaks it, it yields a message (what,
and which value) and an advice (what to change). Its docstring is its documentation.

error    the conversion would fail, crash, log an error, leave the target's limits, or not be of the
         scheme
warning  it works, but slower or wastefully, or only with care

Facts from the manual name it. All others were observed with rknn-toolkit2 2.5.0.
docs/rknn-rules.md has the table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import onnx

from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.near import did_you_mean

from ..targets import known, schemes
from .lint_graph import Graph, next_multiple, node_name

Places = Iterator[tuple[str, str]]  # message and advice


@dataclasses.dataclass(frozen=True)
class Finding:
    rule: str
    level: str  # "error" or "warning"
    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.level}: {self.rule}: {self.message}; {self.advice}"


@dataclasses.dataclass(frozen=True)
class Rule:
    level: str
    check: Callable[[Graph], Places]

    @property
    def doc(self) -> str:
        return " ".join((self.check.__doc__ or "").split())


def lint(graph: onnx.ModelProto, target: str, scheme: str) -> list[Finding]:
    """Every rule that the graph breaks on the target in the scheme, in the order of RULES.

    Raises ConfigError for an unknown target or scheme.
    """
    row = known(target)
    if scheme not in schemes():
        hint = did_you_mean(scheme, schemes())
        raise ConfigError(f"scheme {scheme!r} is unknown; {hint}known: {', '.join(schemes())}")
    facts = Graph(graph, row, scheme)
    return [
        Finding(name, rule.level, message, advice)
        for name, rule in RULES.items()
        for message, advice in rule.check(facts)
    ]


# --- the target and the graph as a whole ---


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


_SHAPE_ONLY = {"Squeeze", "Unsqueeze"}


def _output_not_4d(g: Graph) -> Places:
    """An output doesn't have four dimensions, is not the LSTM operator's own, and its size is not
    a multiple that the NPU's layout needs: its Reshape goes to the CPU with "Unkown op target:
    0", and the return code is 0. rk3588, rk3566, rk3568."""
    for name in g.outputs:
        source = g.producer.get(g.through(name, _SHAPE_ONLY))
        own = source is not None and source.op_type == "LSTM"
        if len(g.shapes[name]) != 4 and not own and (multiple := g.unaligned(name)):
            yield (
                f"output {name!r} has the shape {g.shapes[name]}, not four dimensions",
                f"reshape before the head and end in (1, {max(g.shapes[name])}, 1, 1), "
                f"or make the size a multiple of {multiple}",
            )


def _input_not_4d(g: Graph) -> Places:
    """On rk3566 and rk3568, an input doesn't have four dimensions, another operator than the LSTM
    reads it, and its size is not a multiple that the NPU's layout needs: its Reshape goes to the
    CPU with "Unkown op target: 0", and the return code is 0."""
    for name in g.inputs if g.target.reshape_inputs else ():
        read_by = {node.op_type for node in g.readers(name)} - {"LSTM", "Unsqueeze"}
        if len(g.shapes[name]) != 4 and read_by and (multiple := g.unaligned(name)):
            yield (
                f"input {name!r} has the shape {g.shapes[name]} "
                f"and is read by {', '.join(sorted(read_by))}",
                f"make it (1, {max(g.shapes[name])}, 1, 1), or its size a multiple of {multiple}",
            )


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


# --- the LSTM operator ---


def _no_lstm_operator(g: Graph) -> Places:
    """The NPU (rv1103b, rv1106b) has no LSTM operator: it goes to the CPU with "Unkown op target:
    0", and the return code is 0."""
    for lstm in g.lstms if not g.target.lstm_npu else ():
        yield f"{lstm.name} on {g.target.name}, whose NPU has no such operator", "use the cell form"


def _lstm_stored_as_float16(g: Graph) -> Places:
    """In w4a16 (rk3576, rv1126b) and w8a16 (rk3562) the converter stores the LSTM operator as
    float16 without a word: the file is as large as that of fp16."""
    for lstm in g.lstms if g.scheme in g.target.lstm_float16 else ():
        yield f"{lstm.name} in {g.scheme} is stored as float16", "use the cell form, or say fp16"


def _lstm_output_unnamed(g: Graph) -> Places:
    """An output of the LSTM operator is left out by an empty name: "Could not find OrtValue with
    name ''". It may be left out at the end."""
    for lstm in g.lstms:
        for name, value in zip(("Y", "Y_h", "Y_c"), lstm.node.output, strict=False):
            if not value:
                yield (
                    f"{lstm.name} leaves out {name} by an empty name",
                    f"name {name}, even though nothing reads it",
                )


def _lstm_bias_missing(g: Graph) -> Places:
    """The LSTM operator without its bias B crashes the converter (SIGSEGV, no message) on every
    target, in fp16 only if it has states."""
    for lstm in g.lstms:
        if not lstm.operands[3] and (g.scheme != "fp16" or any(lstm.operands[5:7])):
            yield f"{lstm.name} has no bias B", f"give it one of zeros, (1, {8 * lstm.hidden})"


def _lstm_batch(g: Graph) -> Places:
    """The manual takes a batch of 1 or a multiple of 4. The converter pads another one on the CPU
    with "Unkown op target: 0", and the return code is 0."""
    for lstm in g.lstms:
        if lstm.batch > 1 and lstm.batch % g.limits.batch_multiple:
            yield (
                f"{lstm.name} has a batch of {lstm.batch}",
                f"use 1 or {next_multiple(lstm.batch, g.limits.batch_multiple)}",
            )


def _lstm_hidden_one(g: Graph) -> Places:
    """The LSTM operator of hidden size 1 crashes the converter at 16 bits (SIGSEGV, no message). In
    w16a16i_dfp it logs "The bit width of field value exceeds the limit". w8a8 is fine, and so are
    rk3566 and rk3568."""
    for lstm in g.lstms if g.scheme != "w8a8" and g.target.generation != 3 else ():
        if lstm.hidden == 1:
            yield f"{lstm.name} has hidden size 1 in {g.scheme}", "use 2 or more, or the cell form"


def _lstm_attributes(g: Graph) -> Places:
    """Peephole weights P and input_forget crash the converter (SIGABRT, "SubGraphManager: not
    support yet"). layout 1 ends in "Batchwise recurrent operations (layout == 1) are not
    supported". Even its default of 0 ends in "Unrecognized attribute: layout". The manual has no
    projection and no input_forget."""
    for lstm in g.lstms:
        if lstm.operands[7]:
            yield f"{lstm.name} has peephole weights P", "train it without"
        if lstm.attributes.get("input_forget"):
            yield f"{lstm.name} has input_forget 1", "train it without the coupled gate"
        if "layout" in lstm.attributes:
            yield (
                f"{lstm.name} has layout {lstm.attributes['layout']}",
                "leave the attribute out, and give x as (steps, batch, inputs)",
            )


def _lstm_attributes_unlisted(g: Graph) -> Places:
    """The manual's list of the operator's attributes has no clip and no activations. The converter
    takes both, and its simulator follows them. It is not known if an NPU does."""
    for lstm in g.lstms:
        if lstm.attributes.get("clip"):
            yield (
                f"{lstm.name} has clip {lstm.attributes['clip']:g}",
                "train it without, or compare on the board",
            )
        activations = [a.decode() for a in lstm.attributes.get("activations", [])]
        if activations and [a.lower() for a in activations] != ["sigmoid", "tanh", "tanh"] * (
            len(activations) // 3
        ):
            yield (
                f"{lstm.name} has the activations {', '.join(activations)}",
                "use Sigmoid, Tanh, Tanh, or compare on the board",
            )


def _size_limit(g: Graph) -> Places:
    """The manual's limit of the LSTM operator is 8192 for steps, batch, inputs and hidden. The
    converter does not check it."""
    for lstm in g.lstms:
        for what in ("steps", "batch", "features", "hidden"):
            if getattr(lstm, what) > g.limits.size:
                yield (
                    f"{lstm.name} has {getattr(lstm, what)} {what}",
                    f"stay within {g.limits.size}",
                )


def _lstm_x_reshaped(g: Graph) -> Places:
    """The LSTM operator's X is computed, or reshaped from four dimensions, and its size is not a
    multiple that the NPU's layout needs: the Reshape goes to the CPU with "Unkown op target: 0",
    and the return code is 0. rk3588, rk3566, rk3568."""
    for lstm in g.lstms:
        x = lstm.operands[0]
        source = g.through(x, {*_SHAPE_ONLY, "Transpose", "Reshape"})
        computed = source in g.producer and g.producer[source].op_type != "LSTM"
        if (computed or (source in g.inputs and len(g.shapes[source]) == 4)) and (
            multiple := g.unaligned_size(lstm.features)
        ):
            yield (
                f"{lstm.name} reads {x!r}, which is made from {source!r} "
                f"and has {lstm.features} values a step",
                "make x of three dimensions an input of the graph, "
                f"or pad it to {next_multiple(lstm.features, multiple)} values",
            )


def _lstm_head_reshaped(g: Graph) -> Places:
    """On rk3566 and rk3568, Y_h is reshaped to four dimensions for a Conv, and hidden is not a
    multiple that the NPU's layout needs: the Reshape goes to the CPU with "Unkown op target: 0",
    and the return code is 0."""
    for lstm in g.lstms if g.target.generation == 3 else ():
        for name in lstm.node.output[1:2]:
            reshaped = any(
                n.op_type == "Reshape" and len(g.shapes.get(n.output[0], ())) == 4
                for n in g.readers(name)
            )
            if reshaped and (multiple := g.unaligned_size(lstm.hidden)):
                yield (
                    f"{name!r} of {lstm.name} is reshaped, hidden {lstm.hidden}",
                    f"make hidden {next_multiple(lstm.hidden, multiple)}",
                )


def _conv_on_lstm_y(g: Graph) -> Places:
    """On rk3566 and rk3568, a Conv reads Y: a Transpose goes to the CPU, without a message. It
    doesn't if the operator is bidirectional."""
    for lstm in g.lstms if g.target.generation == 3 else ():
        if lstm.attributes.get("direction") == b"bidirectional":
            continue
        for reader in g.readers(lstm.node.output[0]) if lstm.node.output[0] else ():
            if reader.op_type in ("Transpose", "Reshape") and any(
                n.op_type == "Conv" for n in g.readers(reader.output[0])
            ):
                yield (
                    f"a Conv reads Y of {lstm.name} through {node_name(reader)}",
                    "take Y_h, reshape it to (1, hidden, 1, 1), then Conv",
                )


def _int8_chunk_calibration(g: Graph) -> Places:
    """In w8a8, over two or more steps, the LSTM operator fails if the calibration samples of
    initial_h have a narrow range: it crashes the converter (rk3588, rk3562, rk3566, rk3568:
    SIGABRT) or logs "clip_truncate < 0" (rk3576, rv1103, rv1106, rv1126b). The graph doesn't show
    the samples. Without initial_h it is clean."""
    for lstm in g.lstms if g.scheme == "w8a8" and g.target.lstm_npu else ():
        if lstm.steps > 1 and lstm.operands[5]:
            yield (
                f"{lstm.name} has {lstm.steps} steps in w8a8",
                "let the calibration samples of every initial_h span -1 to 1",
            )


def _hidden_not_aligned(g: Graph) -> Places:
    """The manual advises a multiple of 8 as the hidden size of the LSTM operator."""
    for lstm in g.lstms:
        if lstm.hidden % g.limits.hidden_multiple:
            wanted = next_multiple(lstm.hidden, g.limits.hidden_multiple)
            yield (
                f"{lstm.name} has hidden size {lstm.hidden}",
                f"{wanted} is the next multiple of {g.limits.hidden_multiple}",
            )


def _steps_not_aligned(g: Graph) -> Places:
    """The manual advises a multiple of 4 as the number of steps of the LSTM operator. One step at a
    time is not reported."""
    for lstm in g.lstms:
        if lstm.steps > 1 and lstm.steps % g.limits.steps_multiple:
            yield (
                f"{lstm.name} has {lstm.steps} steps",
                f"{next_multiple(lstm.steps, g.limits.steps_multiple)} is the next multiple of 4",
            )


RULES: dict[str, Rule] = {
    "scheme-not-allowed": Rule("error", _scheme_not_allowed),
    "rk2118-int8": Rule("error", _rk2118_int8),
    "opset-too-new": Rule("error", _opset_too_new),
    "dynamic-shape": Rule("error", _dynamic_shape),
    "output-not-4d": Rule("error", _output_not_4d),
    "input-not-4d": Rule("error", _input_not_4d),
    "int16-concat": Rule("error", _int16_concat),
    "no-lstm-operator": Rule("error", _no_lstm_operator),
    "lstm-stored-as-float16": Rule("error", _lstm_stored_as_float16),
    "lstm-output-unnamed": Rule("error", _lstm_output_unnamed),
    "lstm-bias-missing": Rule("error", _lstm_bias_missing),
    "lstm-batch": Rule("error", _lstm_batch),
    "lstm-hidden-one": Rule("error", _lstm_hidden_one),
    "lstm-attributes": Rule("error", _lstm_attributes),
    "size-limit": Rule("error", _size_limit),
    "lstm-x-reshaped": Rule("error", _lstm_x_reshaped),
    "lstm-head-reshaped": Rule("error", _lstm_head_reshaped),
    "lstm-attributes-unlisted": Rule("warning", _lstm_attributes_unlisted),
    "conv-on-lstm-y": Rule("warning", _conv_on_lstm_y),
    "int8-chunk-calibration": Rule("warning", _int8_chunk_calibration),
    "hidden-not-aligned": Rule("warning", _hidden_not_aligned),
    "steps-not-aligned": Rule("warning", _steps_not_aligned),
}
