"""The rules of `lint` on the operators LSTM and GRU."""

from __future__ import annotations

from ..finding import Places, Rule
from .lint_graph import SHAPE_ONLY, Graph, next_multiple, node_name


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


def _output_unnamed(g: Graph) -> Places:
    """An output of the operator LSTM or GRU is left out by an empty name: "Could not find OrtValue
    with name ''". It may be left out at the end."""
    for layer in g.recurrent:
        for name, value in zip(("Y", "Y_h", "Y_c"), layer.node.output, strict=False):
            if not value:
                yield (
                    f"{layer.name} leaves out {name} by an empty name",
                    f"name {name}, even though nothing reads it"
                    if layer.node.op_type == "LSTM"
                    else "take Y, of which Y_h is the last step",
                )


def _y_unused(g: Graph) -> Places:
    """The operator GRU or RNN whose output Y is named and not read crashes the converter (SIGSEGV).
    The LSTM is clean without."""
    for layer in g.recurrent:
        y = layer.node.output[0]
        read = any(node in g.computed for node in g.readers(y)) or y in g.outputs
        if layer.node.op_type != "LSTM" and y and not read:
            yield f"nothing reads Y of {layer.name}", "take Y, of which Y_h is the last step"


def _bias_missing(g: Graph) -> Places:
    """The operator LSTM or GRU without its bias B crashes the converter (SIGSEGV, no message) on
    every target, in fp16 only if it has states."""
    for layer in (*g.lstms, *g.grus):
        if not layer.operands[3] and (g.scheme != "fp16" or any(layer.operands[5:7])):
            yield f"{layer.name} has no bias B", f"give it one of zeros, {layer.bias}"


def _batch(g: Graph) -> Places:
    """The manual takes a batch of 1 or a multiple of 4 for the LSTM. The converter pads another one
    of the LSTM or GRU on the CPU with "Unkown op target: 0", and the return code is 0."""
    for layer in (*g.lstms, *g.grus):
        if layer.batch > 1 and layer.batch % g.limits.batch_multiple:
            yield (
                f"{layer.name} has a batch of {layer.batch}",
                f"use 1 or {next_multiple(layer.batch, g.limits.batch_multiple)}",
            )


def _lstm_hidden_one(g: Graph) -> Places:
    """The LSTM operator of hidden size 1 crashes the converter at 16 bits (SIGSEGV, no message). In
    w16a16i_dfp it logs "The bit width of field value exceeds the limit". w8a8 is fine, and so are
    rk3566 and rk3568."""
    for lstm in g.lstms if g.scheme != "w8a8" and g.target.generation != 3 else ():
        if lstm.hidden == 1:
            yield f"{lstm.name} has hidden size 1 in {g.scheme}", "use 2 or more, or the cell form"


def _attributes(g: Graph) -> Places:
    """Peephole weights P and input_forget crash the converter (SIGABRT, "SubGraphManager: not
    support yet"). layout 1 of the LSTM or GRU ends in "Batchwise recurrent operations (layout == 1)
    are not supported". Even its default of 0 ends in "Unrecognized attribute: layout". The manual
    has no projection and no input_forget."""
    for lstm in g.lstms:
        if lstm.operands[7]:
            yield f"{lstm.name} has peephole weights P", "train it without"
        if lstm.attributes.get("input_forget"):
            yield f"{lstm.name} has input_forget 1", "train it without the coupled gate"
    for layer in (*g.lstms, *g.grus):
        if "layout" in layer.attributes:
            yield (
                f"{layer.name} has layout {layer.attributes['layout']}",
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


def _x_reshaped(g: Graph) -> Places:
    """X of the operator LSTM or GRU is computed, or reshaped from four dimensions, and its size is
    not a multiple that the NPU's layout needs: the Reshape goes to the CPU with "Unkown op target:
    0", and the return code is 0. rk3588, rk3566, rk3568."""
    for lstm in (*g.lstms, *g.grus):
        x = lstm.operands[0]
        source = g.through(x, {*SHAPE_ONLY, "Transpose", "Reshape"})
        computed = source in g.producer and g.producer[source].op_type not in ("LSTM", "GRU")
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


def _conv_on_y(g: Graph) -> Places:
    """On rk3566 and rk3568, a Conv reads Y: a Transpose goes to the CPU, without a message. It
    doesn't if the operator is bidirectional."""
    for lstm in (*g.lstms, *g.grus) if g.target.generation == 3 else ():
        if lstm.attributes.get("direction") == b"bidirectional":
            continue
        for reader in g.readers(lstm.node.output[0]) if lstm.node.output[0] else ():
            if reader.op_type in ("Transpose", "Reshape") and any(
                n.op_type == "Conv" for n in g.readers(reader.output[0])
            ):
                yield (
                    f"a Conv reads Y of {lstm.name} through {node_name(reader)}",
                    "take Y_h, reshape it to (1, hidden, 1, 1), then Conv"
                    if lstm.node.op_type == "LSTM"
                    else "use the cell form",
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


RECURRENT: dict[str, Rule] = {
    "no-lstm-operator": Rule("error", _no_lstm_operator),
    "lstm-stored-as-float16": Rule("error", _lstm_stored_as_float16),
    "recurrent-y-unused": Rule("error", _y_unused),
    "recurrent-output-unnamed": Rule("error", _output_unnamed),
    "recurrent-bias-missing": Rule("error", _bias_missing),
    "recurrent-batch": Rule("error", _batch),
    "lstm-hidden-one": Rule("error", _lstm_hidden_one),
    "recurrent-attributes": Rule("error", _attributes),
    "size-limit": Rule("error", _size_limit),
    "recurrent-x-reshaped": Rule("error", _x_reshaped),
    "lstm-head-reshaped": Rule("error", _lstm_head_reshaped),
    "lstm-attributes-unlisted": Rule("warning", _lstm_attributes_unlisted),
    "conv-on-recurrent-y": Rule("warning", _conv_on_y),
    "int8-chunk-calibration": Rule("warning", _int8_chunk_calibration),
    "hidden-not-aligned": Rule("warning", _hidden_not_aligned),
    "steps-not-aligned": Rule("warning", _steps_not_aligned),
}
