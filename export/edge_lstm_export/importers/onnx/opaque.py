"""A graph of other operators than our layers, taken as it is: one step, with its states.

Its shapes are fixed, what is constant is folded, hidden states are exposed, states are paired. Then
the file runs in ONNX Runtime beside the graph that was made of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.model.step_graph import MAX_STATES, StepGraph

from ...graphs.builder import state_name
from ...graphs.step import StepModel
from .. import Float32, Floats, Foreign
from .._proof_step import check_finite
from .fixed import Shape, Shapes, exposed, fixed, run, session, zeros
from .load import FLOAT
from .open_axes import TIME, Call, Sizes, kinds_of, listed
from .states import (
    by_order,
    settled,
    streamed,
    suspicious,
    told,
    without_effect,
)

LEAST = 300  # steps
EFFECT = 50  # steps, over which a state must change something


@dataclasses.dataclass
class _Step:
    """The file as one step. All names are the file's.

    shapes: x, then the states. opened: the states that the file keeps to itself.
    """

    model: onnx.ModelProto
    shapes: dict[str, Shape]
    pairs: dict[str, str]
    opened: tuple[str, ...]
    y: str
    y_shape: Shape
    notes: list[str]

    @property
    def x(self) -> str:
        return next(iter(self.shapes))


def opaque(
    model: onnx.ModelProto,
    inputs: Sizes,
    given: Mapping[str, str],
    operators: tuple[str, ...],
    missing: str,
) -> Foreign:
    """A net whose network is a `StepGraph`, proved.

    inputs: of the file, None for an open size. given: of `--state`. operators, missing: those that
    have no layer, and why it is no list of layers, as a sentence.

    Raises ConversionError, with that reason and why it is no step either.
    """
    try:
        step = _step(model, inputs, given)
        foreign = _foreign(model, inputs, step, operators)
    except ConversionError as e:
        raise ConversionError(f"{missing}; and it can't be taken as one step as it is: {e}") from e
    note = f"NumPy and C can't run it, because {missing}. ONNX Runtime and NPUs can"
    return dataclasses.replace(foreign, notes=(note, *foreign.notes))


def _step(model: onnx.ModelProto, inputs: Sizes, given: Mapping[str, str]) -> _Step:
    shapes = {name: tuple(size or 1 for size in sizes) for name, sizes in inputs.items()}
    x, *named = shapes
    y, *others = (value.name for value in model.graph.output)
    graph, pairs, more = exposed(fixed(model, shapes))
    hidden = tuple(pairs)
    shapes |= more
    if len(shapes) < 2:
        raise ConversionError("it has no state: no input beside x, no recurrent operator over time")
    if len(shapes) > 1 + MAX_STATES:
        raise ConversionError(f"it has {len(shapes) - 1} states, expected at most {MAX_STATES}")
    runtime = session(graph)
    names = [y, *others]
    made = run(runtime, names, zeros(shapes))
    after = {name: value.shape for name, value in zip(names, made, strict=True)}
    if made[0].size == 0 or made[0].dtype != np.float32:
        raise ConversionError(f"output {y!r} is {made[0].dtype}{made[0].shape}, expected float32")
    ordered = by_order({name: shapes[name] for name in named}, after, given)
    certain = told(graph, named, names)
    found, notes = settled(ordered, certain, given)
    pairs = {**found, **pairs}
    if why := suspicious(runtime, shapes, found, {**certain, **given}):
        raise ConversionError(f"by order and shape {listed(pairs)}, but {why}; use --state")
    if given and (why := suspicious(runtime, shapes, found, certain)):
        notes.append(f"--state is followed, though {why}")
    idle = without_effect(runtime, shapes, pairs, y, EFFECT)
    if len(idle) == len(pairs):
        raise ConversionError(
            f"no state changes output {y!r}, so nothing is carried; the states would be "
            f"{listed(pairs)}"
        )
    if idle:
        notes.append(f"These states change nothing of output {y!r}: {', '.join(idle)}")
    notes.append(f"The states, before and after a step: {listed(pairs)}")
    if hidden:
        notes.append(
            f"The file starts these states at zero in each call, and here they are carried: "
            f"{', '.join(hidden)}"
        )
    if any(size is None for sizes in inputs.values() for size in sizes):
        notes.append("Sizes that are open in the file, of a batch or of steps, are 1 here")
    if rest := [name for name in others if name not in pairs.values()]:
        notes.append(f"These outputs of the file are left out: {', '.join(rest)}")
    if len(shapes[x]) > 1 and int(np.prod(shapes[x])) > 1:
        notes.append(f"A sample is the whole input {x!r} of a step, {shapes[x]}, row by row")
    return _Step(graph, shapes, pairs, hidden, y, after[y], notes)


def _foreign(
    model: onnx.ModelProto, inputs: Sizes, step: _Step, operators: tuple[str, ...]
) -> Foreign:
    x = step.x
    open_axes = [axis for axis, size in enumerate(inputs[x]) if size is None]
    graph, network = _ours(step, operators)
    source = step.model if step.opened else model
    tool = f"ONNX Runtime {onnxruntime.__version__}"
    original = OnnxStep(source.SerializeToString(), step.shapes, step.pairs, step.y, tool)
    made = StepModel(network, graph)
    xs = np.random.default_rng(0).standard_normal((LEAST, network.features)).astype(np.float32)
    right = original.run(xs)["y"]
    check_finite(right, tool)
    call = Call(step.x, step.shapes, step.pairs, step.y)
    found = kinds_of(model, inputs, call, open_axes, xs, right)
    notes = list(step.notes)
    if step.opened and TIME not in found and len(found) < len(open_axes):
        raise ConversionError(
            f"its states are hidden ({', '.join(step.opened)}), and a call with several steps does "
            "not answer each of them, or the last"
        )
    if TIME in found:
        notes.append("One call of the file with all steps answers as its steps one by one")
    return Foreign(network, {}, original, {}, notes=tuple(notes), step=made)


def _ours(step: _Step, operators: tuple[str, ...]) -> tuple[onnx.ModelProto, StepGraph]:
    """The graph by our names, simplified, and the network."""
    states = _state_names(list(step.pairs))
    outputs = {"y": step.y}
    outputs |= {state_name(states[n], "out"): after for n, after in step.pairs.items()}
    inputs = {step.x: "x"} | {n: state_name(states[n], "in") for n in step.pairs}
    simple = _simplified(_renamed(step.model, inputs, outputs, step.shapes))
    for tensor in simple.graph.initializer:
        if tensor.data_type == FLOAT and np.isnan(numpy_helper.to_array(tensor)).any():
            raise ConversionError(f"its constant {tensor.name.removeprefix('net/')!r} has NaN")
    constants = sum(int(np.prod(t.dims)) for t in simple.graph.initializer if t.data_type == FLOAT)
    network = StepGraph(
        int(np.prod(step.shapes[step.x])),
        x=step.shapes[step.x],
        y=step.y_shape or (1,),
        shapes={states[name]: step.shapes[name] for name in step.pairs},
        operators=operators,
        constants=constants,
    )
    return simple, network


def _state_names(names: list[str]) -> dict[str, str]:
    """Plain names, each once, also as parts of names of tensors."""
    found: dict[str, str] = {}
    for name in names:
        plain = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
        plain = f"step.{plain[:80]}"
        number = 2
        new = plain
        while new in found.values():
            new = f"{plain}_{number}"
            number += 1
        found[name] = new
    return found


def _renamed(
    model: onnx.ModelProto, inputs: Mapping[str, str], outputs: Mapping[str, str], shapes: Shapes
) -> onnx.ModelProto:
    """With our names of the ends. outputs: our name -> the file's."""
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)

    def new(name: str) -> str:
        return inputs.get(name, name and f"net/{name}")

    for tensor in graph.initializer:
        tensor.name = new(tensor.name)
    for node in graph.node:
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
    for name, source in outputs.items():
        graph.node.append(helper.make_node("Identity", [new(source)], [name], name=name))
    made = helper.make_graph(
        list(graph.node),
        "step",
        [helper.make_tensor_value_info(new, FLOAT, shapes[old]) for old, new in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        list(graph.initializer),
    )
    return helper.make_model(
        made,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        producer_name="edge-lstm",
    )


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """By onnxsim, or as it is if onnxsim does not take it."""
    import onnxsim  # it imports PyTorch

    names = [v.name for v in (*model.graph.input, *model.graph.output)]
    try:
        simple, consistent = onnxsim.simplify(model)
    except Exception:  # of C++, of the checker: they have no other base class
        return model
    same = [v.name for v in (*simple.graph.input, *simple.graph.output)] == names
    simplified: onnx.ModelProto = simple if consistent and same else model
    return simplified


@dataclasses.dataclass
class OnnxStep:
    """The file in ONNX Runtime, step by step, the state carried. An `Original`."""

    model: bytes
    shapes: Shapes
    pairs: dict[str, str]
    y: str
    tool: str
    double: bool = False
    _session: Any = None

    def run(self, xs: Float32) -> dict[str, Floats]:
        if self._session is None:
            self._session = session(onnx.load_model_from_string(self.model))
        rows = xs.reshape(len(xs), *next(iter(self.shapes.values())))
        return {"y": streamed(self._session, rows, self.shapes, self.pairs, self.y, ())}
