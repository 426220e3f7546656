"""Which input and output of an opaque graph are one state, before and after a step.

By order and shape after the first input and output, as nets are exported. What the graph itself
says goes before that: the initial and last states of a recurrent operator are a pair. For others
of one shape, an old value that goes on into another output than its own is a sign of a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_lstm_runtime.errors import ConversionError

from .fixed import OUTPUT, RECURRENT, Shape, Shapes, run, zeros
from .nodes import INITIAL

CARRIES = {"Identity", "Squeeze", "Unsqueeze", "Transpose", "Reshape", "Flatten"}
TRIED = 1e-3  # relative rounding of float32 that is not taken for a bend
Pairs = dict[str, str]


def check_given(model: onnx.ModelProto, given: Mapping[str, str]) -> None:
    """Raise ConversionError for a state that the user named and the file has not."""
    made = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in made][1:]
    outputs = [value.name for value in model.graph.output]
    for before, after in given.items():
        for name, known, what in ((before, inputs, "input"), (after, outputs, "output")):
            if name not in known:
                listed = ", ".join(known) or "none"
                raise ConversionError(
                    f"--state {before}={after}: there is no {what} {name!r} that may be a state; "
                    f"they are {listed}"
                )


def check_found(pairs: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Raise ConversionError if tracing found another pair than the user named."""
    for before, after in given.items():
        found = pairs.get(before)
        if found is not None and found != after:
            raise ConversionError(
                f"--state {before}={after}: the net's own operators hold {before!r} in {found!r} "
                f"after the step, not in {after!r}"
            )


def by_order(states: Shapes, outputs: Shapes, given: Mapping[str, str]) -> Pairs:
    """The pairs, those of the user and others by order and shape.

    states, outputs: shapes, in the file's order, with y first among the outputs. It holds a state
    only if the user says so. Raises ConversionError for a state without a pair.
    """
    found = dict(given)
    for before, after in given.items():
        if states[before] != outputs[after]:
            raise ConversionError(
                f"--state {before}={after}: {before!r} is {states[before]}, and {after!r} is "
                f"{outputs[after]}; expected the same shape"
            )
    free = [name for name in list(outputs)[1:] if name not in found.values()]
    for name, shape in states.items():
        if name in found:
            continue
        fitting = [other for other in free if outputs[other] == shape]
        if not fitting:
            raise ConversionError(
                f"input {name!r} of shape {shape} is taken as a state, and no output of that shape "
                f"is left to hold it after the step; the outputs are {listed_shapes(outputs)}"
            )
        found[name] = fitting[0]
        free.remove(fitting[0])
    return {name: found[name] for name in states}


def listed_shapes(shapes: Shapes) -> str:
    return ", ".join(f"{name!r} {shape}" for name, shape in shapes.items()) or "none but y"


def told(model: onnx.ModelProto, states: Sequence[str], outputs: Sequence[str]) -> Pairs:
    """The pairs that are the initial and the last state of one recurrent operator."""
    moved = {name: name for name in states}
    ends: dict[str, tuple[int, str]] = {}  # tensor -> the operator's number, the state's kind
    starts: dict[tuple[int, str], str] = {}
    for number, node in enumerate(model.graph.node):
        if node.op_type in CARRIES and node.input[0] in moved:
            moved[node.output[0]] = moved[node.input[0]]
        elif node.op_type in CARRIES and node.input[0] in ends:
            ends[node.output[0]] = ends[node.input[0]]
        elif node.op_type in RECURRENT:
            for kind in RECURRENT[node.op_type]:
                place = INITIAL[kind]
                if place < len(node.input) and node.input[place] in moved:
                    starts[number, kind] = moved[node.input[place]]
                if len(node.output) > OUTPUT[kind] and node.output[OUTPUT[kind]]:
                    ends[node.output[OUTPUT[kind]]] = (number, kind)
            if node.output[0]:
                ends[node.output[0]] = (number, "h")  # of one step
    after = {ends[name]: name for name in reversed(outputs) if name in ends}
    return {name: after[key] for key, name in starts.items() if key in after}


def settled(
    ordered: Pairs, certain: Mapping[str, str], given: Mapping[str, str]
) -> tuple[Pairs, list[str]]:
    """The pairs, with those that are certain in the place of those by order, and notes.

    Raises ConversionError for a pair of the user that the graph contradicts.
    """
    check_found(certain, given)
    found = {**ordered, **certain}
    notes = [
        f"By the order of outputs {name} would go with {ordered[name]}; its operator says {after}"
        for name, after in certain.items()
        if ordered[name] != after
    ]
    if len(set(found.values())) < len(found):
        raise ConversionError(
            "two states would be held by one output: "
            f"{', '.join(f'{a} and {b}' for a, b in found.items())}; name the pairs by --state"
        )
    return found, notes


def suspicious(session: Any, shapes: Shapes, pairs: Pairs, certain: Mapping[str, str]) -> str:
    """A sentence on a pair of states of one shape that is probably wrong, or "".

    The old value of an LSTM's c, and of a buffer that is shifted, is in the new one as it is, times
    a factor. So the new value is a straight line over the old one, element by element, and an
    output that isn't, or that has nothing of it, is another state's. Of cells in a row, the state
    of a later one changes nothing of an earlier one.
    """
    x = next(iter(shapes))
    rng = np.random.default_rng(0)
    alike: dict[Shape, list[str]] = {}
    for name in pairs:
        if name not in certain:
            alike.setdefault(shapes[name], []).append(name)
    base = zeros(shapes)
    base[x] = rng.standard_normal(shapes[x]).astype(np.float32)
    for group in alike.values():
        outputs = [pairs[name] for name in group]
        reached: dict[str, list[str]] = {}
        for name in group if len(group) > 1 else ():
            reached[name], straight = _reached(session, base, name, outputs, rng)
            own = pairs[name]
            if len(straight) == 1 and straight[0] != own:
                return (
                    f"the old value of {name!r} goes on in {straight[0]!r}, as a state's does, and "
                    f"its pair is {own!r}"
                )
        for name, found in reached.items():
            if pairs[name] not in found and _can_all_be_paired(reached):
                return (
                    f"the old value of {name!r} changes nothing of its pair {pairs[name]!r}, and "
                    "in another order each state's does"
                )
    return ""


def _can_all_be_paired(reached: Mapping[str, Sequence[str]]) -> bool:
    """Whether each state can have an output of its own, among those that it reaches."""
    holds: dict[str, str] = {}

    def placed(name: str, tried: set[str]) -> bool:
        for output in reached[name]:
            if output not in tried:
                tried.add(output)
                if output not in holds or placed(holds[output], tried):
                    holds[output] = name
                    return True
        return False

    return all(placed(name, set()) for name in reached)


def _reached(
    session: Any,
    base: Mapping[str, NDArray[np.float32]],
    name: str,
    outputs: list[str],
    rng: np.random.Generator,
) -> tuple[list[str], list[str]]:
    """The outputs that change with this state, and those of them along a straight line."""
    way = rng.standard_normal(base[name].shape).astype(np.float32)
    places = (-4.0, 0.0, 4.0)
    rows = [run(session, outputs, {**base, name: (k * way).astype(np.float32)}) for k in places]
    found = []
    straight = []
    for output, low, middle, high in zip(outputs, *rows, strict=True):
        change = float(np.abs(high - low).max())
        bend = float(np.abs(high - 2 * middle + low).max())
        if change > 0 or bend > 0:
            found.append(output)
        if change > TRIED and bend <= TRIED * change:
            straight.append(output)
    return found, straight


def without_effect(session: Any, shapes: Shapes, pairs: Pairs, y: str, steps: int) -> list[str]:
    """The states that change nothing of y if they are zero before every step."""
    x = next(iter(shapes))
    xs = np.random.default_rng(1).standard_normal((steps, *shapes[x])).astype(np.float32)
    right = streamed(session, xs, shapes, pairs, y, ())
    return [
        name
        for name in pairs
        if np.array_equal(streamed(session, xs, shapes, pairs, y, (name,)), right)
    ]


def streamed(
    session: Any,
    xs: NDArray[np.float32],
    shapes: Shapes,
    pairs: Pairs,
    y: str,
    dropped: Sequence[str],
) -> NDArray[np.float32]:
    """y of each step, (T, O). xs: (T, *shape of x). dropped: states that are zero before each."""
    x = next(iter(shapes))
    state = zeros({name: shapes[name] for name in pairs})
    wanted = [y, *pairs.values()]
    rows = []
    for row in xs:
        out, *after = run(session, wanted, {x: row, **state})
        rows.append(out.ravel())
        for name, value in zip(pairs, after, strict=True):
            if name not in dropped:
                state[name] = value.reshape(shapes[name])
    return np.stack(rows)
