"""From a file to a net of ours: where its time is, which states belong together, its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx

from edge_lstm_runtime.errors import BundleError, ConversionError
from edge_lstm_runtime.model.network import Network
from edge_lstm_runtime.shown import in_a_line

from .. import Foreign
from .._elements import MAX_STEPS, Ids, by_step, elements, source_of
from .._parts import Part, RecurrentPart, joined, layers, needed, with_whole_operands
from .fixed import RECURRENT
from .load import FLOAT, load
from .nodes import HANDLERS, pointwise
from .opaque import opaque
from .open_axes import Call, kinds_of
from .original import OnnxRuntime, Tap, original
from .states import check_found, check_given
from .trace import TOO_MANY, Node, Trace
from .unrolled import recognized
from .whole_steps import HANDLERS as WHOLE

NAMES = {number: name for name, number in onnx.TensorProto.DataType.items()}
SEVERAL = 40  # steps of one call that tells what an open size is
TRACED = 3  # steps of a graph whose length is open
MAX_VALUES = 2**26  # of an input
Shape = tuple[int, ...]


class NoLayersError(ConversionError):
    """operators: that no layer stands for, sorted."""

    def __init__(self, message: str, operators: tuple[str, ...]) -> None:
        super().__init__(message)
        self.operators = operators


def foreign(path: Path, states: Mapping[str, str]) -> Foreign:
    """As `read` of this package."""
    model = load(path)
    try:
        inputs = _inputs(model)
        check_given(model, states)
        try:
            return _foreign(model, inputs, states)
        except NoLayersError as e:
            return opaque(model, inputs, states, e.operators, str(e))
    except (BundleError, ConversionError) as e:
        raise ConversionError(f"{path}: {in_a_line(str(e))}") from e


def _foreign(
    model: onnx.ModelProto, inputs: dict[str, list[int | None]], states: Mapping[str, str]
) -> Foreign:
    trace = _traced(model, inputs)
    outputs = [output.name for output in model.graph.output]
    pairs = _pairs(trace, [*outputs[1:], outputs[0]])
    check_found(pairs, states)
    parts = _parts(trace, outputs[0])
    if not any(isinstance(part, RecurrentPart) for part in parts):
        raise ConversionError("no layer of it has a state: it is no recurrent net")
    found, weights = layers(parts, trace.features)
    network = Network(trace.features, tuple(found))
    taps = {
        layer.name: Tap.of(part, trace.steps)
        for layer, part in zip(found, parts, strict=True)
        if part.tensor
    }
    x = next(iter(inputs))
    opened = trace.axis is not None and inputs[x][trace.axis] is None
    free = sum(sizes.count(None) for sizes in inputs.values()) > opened
    runtime = original(model, trace, pairs, parts, taps, opened=opened)
    if trace.axis is None and None in inputs[x]:
        _check_open(model, inputs, trace, pairs, runtime)
    notes = _notes(pairs, runtime, free, outputs[1:])
    nodes = {layer.name: part.node for layer, part in zip(found, parts, strict=True)}
    return Foreign(network, weights, runtime, nodes, notes=notes)


def _check_open(
    model: onnx.ModelProto,
    inputs: dict[str, list[int | None]],
    trace: Trace,
    pairs: dict[str, str],
    runtime: OnnxRuntime,
) -> None:
    """Raise ConversionError if an open size of x, which is 1 in a step, is no batch.

    It may be time, in a way that no layer here has: a convolution reads other steps.
    """
    x = next(iter(inputs))
    xs = np.random.default_rng(0).standard_normal((SEVERAL, trace.features)).astype(np.float32)
    axes = [axis for axis, size in enumerate(inputs[x]) if size is None]
    call = Call(x, trace.shapes, pairs, model.graph.output[0].name)
    right = runtime.run(xs)[list(runtime.taps)[-1]]
    kinds_of(model, inputs, call, axes, xs, right)


def _inputs(model: onnx.ModelProto) -> dict[str, list[int | None]]:
    """The shapes of the inputs, None for an open size. Raises ConversionError."""
    made = {tensor.name for tensor in model.graph.initializer}
    found: dict[str, list[int | None]] = {}
    for value in model.graph.input:
        if value.name in made:
            continue
        tensor = value.type.tensor_type
        if tensor.elem_type != FLOAT:
            kind = NAMES.get(tensor.elem_type, tensor.elem_type)
            raise ConversionError(f"input {value.name!r} is {kind}, expected FLOAT (float32)")
        if not tensor.HasField("shape"):
            raise ConversionError(f"input {value.name!r} has no shape, not even a number of axes")
        sizes = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
        if any(size is not None and size < 1 for size in sizes):
            raise ConversionError(f"input {value.name!r} has shape {sizes}, which is empty")
        if np.prod([float(size or 1) for size in sizes]) > MAX_VALUES:
            raise ConversionError(f"input {value.name!r} has shape {sizes}, which is too large")
        found[value.name] = sizes
    if not found:
        raise ConversionError("the graph has no input")
    return found


def _candidates(sizes: list[int | None]) -> Iterator[int | None]:
    """The axes of x that may be time: the open ones, none, and fixed ones of several steps."""
    yield from (axis for axis, size in enumerate(sizes) if size is None)
    yield None
    yield from (axis for axis, size in enumerate(sizes) if size and 1 < size <= MAX_STEPS)


def _traced(model: onnx.ModelProto, inputs: dict[str, list[int | None]]) -> Trace:
    """By the first axis of time that all nodes agree with. Raises ConversionError."""
    tried = []
    x = next(iter(inputs))
    for axis in _candidates(inputs[x]):
        shapes = {name: tuple(size or 1 for size in sizes) for name, sizes in inputs.items()}
        if axis is not None and inputs[x][axis] is None:
            shapes[x] = tuple(TRACED if k == axis else s for k, s in enumerate(shapes[x]))
        trace = Trace(model, shapes, axis, {**HANDLERS, **WHOLE})
        recognized(trace)
        trace.settle([output.name for output in model.graph.output])
        if trace.understood:
            return trace
        tried.append(trace)
    best = min(tried, key=lambda trace: (trace.unknown.total(), len(trace.faults)))
    said = []
    if best.unknown:
        listed = ", ".join(
            f"{count} {title} ({best.first[title]!r})"
            for title, count in sorted(best.unknown.items())
        )
        said = [f"no layer here stands for these operators, each with its first node: {listed}"]
    faulty = {fault.partition(" ")[0] for fault in best.faults}
    operators = tuple(sorted({*best.unknown, *faulty}))
    message = "; ".join([*said, *best.faults[:3]])
    huge = any(TOO_MANY in fault for fault in best.faults)
    if huge or set(operators) <= set(RECURRENT):  # of a layer, with what no layer can do
        raise ConversionError(message)
    raise NoLayersError(message, operators)


def _pairs(trace: Trace, outputs: list[str]) -> dict[str, str]:
    """State input -> the output that holds it after the last step. Raises ConversionError."""
    found: dict[str, str] = {}
    for name in list(trace.shapes)[1:]:
        before = trace.ids[name].ravel().tolist()
        reached = [place for place in before if place in trace.fed]
        if len(reached) < len(before):
            part = "a part of it reaches" if reached else "it reaches"
            raise ConversionError(
                f"input {name!r} is taken as a state, and {part} no initial state of a layer"
            )
        after = np.array([trace.fed[place] for place in before])
        pair = [o for o in outputs if o in trace.ids and _same(trace.ids[o], after)]
        if not pair:
            _, layer = trace.sources[int(source_of(after)[0])]
            raise ConversionError(
                f"input {name!r} is a state of {layer!r}, and no output holds it after the step; "
                f"the outputs are {', '.join(outputs)}"
            )
        found[name] = pair[0]
    return found


def _same(ids: Ids, expected: Ids) -> bool:
    return np.array_equal(ids.ravel(), expected)


def _parts(trace: Trace, y: str) -> list[Part]:
    """The layers in the making. The last one's outputs are y. Raises ConversionError."""
    if y not in trace.ids:
        raise ConversionError(f"output {y!r} does not depend on the inputs")
    ids = trace.ids[y]
    steps, pattern = by_step(ids.reshape(-1, 1))[1:]
    if len(steps) not in (1, trace.steps) or steps[-1] != trace.steps - 1:
        raise ConversionError(f"output {y!r} is of {len(steps)} of {trace.steps} steps")
    source = int(source_of(pattern)[0, 0])
    last = next((part for part in trace.parts if part.source == source), None)
    if last is None or not _same(pattern, elements(source, 0, np.arange(last.units))):
        node = Node(onnx.NodeProto(op_type="Identity", name=y, output=[y]), {})
        pointwise(trace, node, ids, 1.0, 0.0)
        last = trace.parts[-1]
    else:
        last.tensor = y
        last.ids = ids
    return with_whole_operands(joined(needed(trace.parts, [last.source])), trace.features)


def _notes(
    pairs: dict[str, str], runtime: OnnxRuntime, free: bool, others: list[str]
) -> tuple[str, ...]:
    found = []
    if runtime.window == 1 and runtime.axis is not None:
        found.append("The file answers after its last step alone, and here at each step")
    if pairs:
        listed = ", ".join(f"{before} and {after}" for before, after in pairs.items())
        found.append(f"The states, before and after a step: {listed}")
    if runtime.opened:
        listed = ", ".join(runtime.opened)
        found.append(
            f"The file starts these states anew in each call, and here they are carried: {listed}"
        )
    if free:
        found.append("The size of a batch is open in the file, and 1 here")
    if rest := [name for name in others if name not in pairs.values()]:
        found.append(f"These outputs of the file are left out: {', '.join(rest)}")
    return tuple(found)
