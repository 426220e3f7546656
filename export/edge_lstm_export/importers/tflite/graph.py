"""From a file to a net of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_lstm_runtime.errors import BundleError, ConversionError
from edge_lstm_runtime.model.network import Network
from edge_lstm_runtime.shown import in_a_line

from .. import Foreign
from .._elements import by_step, elements, source_of
from .._parts import (
    ConvPart,
    DensePart,
    Part,
    RecurrentPart,
    joined,
    layers,
    needed,
    with_whole_operands,
)
from .file import Graph, load
from .nodes import HANDLERS
from .original import Answers, LiteRT
from .walk import Walk
from .window import cut


def foreign(path: Path) -> Foreign:
    """As `read` of this package."""
    try:
        return _foreign(load(path))
    except (BundleError, ConversionError) as e:
        raise ConversionError(f"{path}: {in_a_line(str(e))}") from e


def _foreign(graph: Graph) -> Foreign:
    if len(graph.inputs) > 1:
        listed = ", ".join(repr(graph.tensors[place].name) for place in graph.inputs)
        raise ConversionError(f"the graph has {len(graph.inputs)} inputs, expected 1: {listed}")
    walk = Walk(graph, _axis(graph), HANDLERS)
    if walk.said:
        raise ConversionError("; ".join(walk.said))
    answers = _answers(walk)
    parts = _parts(walk, answers)
    if not any(isinstance(part, RecurrentPart | ConvPart) for part in parts):
        raise ConversionError("no layer of it has a state: it is no recurrent net")
    found, weights = layers(parts, walk.features)
    taps = {layer.name: part for layer, part in zip(found, parts, strict=True)}
    original = LiteRT(walk, taps, answers, cut(walk))
    nodes = {layer.name: part.node for layer, part in zip(found, parts, strict=True)}
    network = Network(walk.features, tuple(found))
    notes = _notes(walk, answers)
    return Foreign(network, weights, original, nodes, notes=notes, measured=original.measured)


def _axis(graph: Graph) -> int | None:
    """The axis of time in x."""
    tensor = graph.tensors[graph.inputs[0]]
    shape = tensor.shape
    if not np.prod(shape) or len(shape) < 1:
        raise ConversionError(f"input {tensor.name!r} has the shape {shape}")
    if len(shape) == 1:
        return None
    return 0 if len(shape) == 2 or (shape[1] == 1 and shape[0] > 1) else 1


def _answers(walk: Walk) -> Answers:
    """Which steps the first output is of. Raises ConversionError."""
    y = walk.graph.outputs[0]
    name = walk.tensor(y).name
    if y not in walk.ids:
        raise ConversionError(f"output {name!r} does not depend on the input")
    order, steps, pattern = by_step(walk.ids[y].reshape(-1, 1))
    if len(steps) not in (1, walk.steps) or steps[-1] != walk.steps - 1:
        raise ConversionError(f"output {name!r} is of {len(steps)} of {walk.steps} steps")
    return Answers(y, order, steps, pattern.ravel())


def _parts(walk: Walk, answers: Answers) -> list[Part]:
    """The layers in the making. The last one's outputs are the answers."""
    columns = answers.columns
    source = int(source_of(columns)[0])
    last = next((part for part in walk.parts if part.source == source), None)
    if last is None or not np.array_equal(columns, elements(source, 0, np.arange(last.units))):
        source = walk.source()
        ids = walk.ids[answers.tensor]
        same = elements(source, answers.steps[:, None], np.arange(len(columns)))
        own = np.empty(ids.size, np.int64)
        own[answers.order] = same
        one = np.ones(len(columns))
        last = DensePart(
            "output",
            str(answers.tensor),
            own.reshape(ids.shape),
            source,
            columns,
            len(one),
            one,
            0 * one,
        )
        walk.parts.append(last)
    else:
        last.tensor = str(answers.tensor)
        last.ids = walk.ids[answers.tensor]
    return with_whole_operands(joined(needed(walk.parts, [last.source])), walk.features)


def _notes(walk: Walk, answers: Answers) -> tuple[str, ...]:
    found = []
    if walk.steps > 1 and len(answers.steps) == 1:
        found.append(
            f"The file answers after the last of {walk.steps} steps alone, and here at each step"
        )
    if walk.windows:
        found.append(
            f"The file's answer reads all {walk.steps} steps of a call. Here each answer reads the "
            f"last {walk.steps} steps, with zeros before the first. LiteRT carries the states from "
            "call to call unless they are reset, and here they are carried from step to step. A "
            f"reset before each {walk.steps} steps gives the answers of a file that starts anew in "
            "each call"
        )
    elif walk.steps > 1:
        found.append(
            f"A call of the file takes {walk.steps} steps. LiteRT carries the states from call to "
            "call, and here they are carried from step to step"
        )
    if walk.tensor(walk.graph.inputs[0]).open:
        found.append("A size of the input is open in the file. It is 1 here")
    if rest := [walk.tensor(place).name for place in walk.graph.outputs[1:]]:
        found.append(f"These outputs of the file are left out: {', '.join(rest)}")
    return tuple(found)
