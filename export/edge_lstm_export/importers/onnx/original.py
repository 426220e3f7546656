"""The file's own graph in ONNX Runtime, over a stream."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edge_lstm_runtime.errors import ConversionError

from .. import Float32, Floats
from .._elements import axis_of, step_of, unit_of
from .._parts import Part, RecurrentPart
from .load import FLOAT, reason
from .nodes import INITIAL
from .trace import Trace

SILENT = 4


@dataclasses.dataclass(frozen=True)
class Tap:
    """Where the outputs of a layer are: a tensor, its axis of time, the unit of each value.

    axis: None if the tensor has the last step alone.
    """

    tensor: str
    axis: int | None
    units: tuple[int, ...]

    @classmethod
    def of(cls, part: Part, steps: int) -> Tap:
        flat = part.ids.ravel()
        last = flat[step_of(flat) == steps - 1]
        return cls(part.tensor, axis_of(part.ids, steps), tuple(unit_of(last).tolist()))

    def rows(self, value: Floats, axis: int | None) -> Floats:
        """(steps, n) of the tensor."""
        flat = (value[None] if axis is None else np.moveaxis(value, axis, 0)).reshape(
            1 if axis is None else value.shape[axis], -1
        )
        found = np.empty_like(flat)
        found[:, list(self.units)] = flat
        return found


@dataclasses.dataclass
class OnnxRuntime:
    """model   with the outputs of the layers, and with states that the file keeps to itself
    x, shape   the input, and its shape. 0 is the open number of steps
    axis       of time, or None
    window     steps of one call. 0: all
    states     input -> (output, its values at the start)
    taps       by layer
    opened     the states that the file keeps to itself
    """

    model: bytes
    x: str
    shape: tuple[int, ...]
    axis: int | None
    window: int
    states: Mapping[str, tuple[str, Float32]]
    taps: Mapping[str, Tap]
    opened: tuple[str, ...]
    tool: str
    double: bool = False

    @functools.cached_property
    def session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = SILENT
        try:
            # Without the fallback it prints the error, and tries the same once more.
            return onnxruntime.InferenceSession(
                self.model, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as e:  # its errors have no other base class
            raise ConversionError(f"ONNX Runtime does not take the net: {reason(e)}") from e

    def run(self, xs: Float32) -> dict[str, Floats]:
        """As `Original.run`. Raises ConversionError if ONNX Runtime refuses the graph."""
        session = self.session
        window = self.window or len(xs)
        names = [*(tap.tensor for tap in self.taps.values()), *(o for o, _ in self.states.values())]
        wanted = list(dict.fromkeys(names))
        state = {name: start for name, (_, start) in self.states.items()}
        found: dict[str, list[Floats]] = {name: [] for name in self.taps}
        for start in range(0, len(xs), window):
            piece = np.zeros((window, xs.shape[1]), np.float32)
            piece[: len(xs) - start] = xs[start : start + window]
            try:
                values = session.run(wanted, {self.x: self._laid_out(piece), **state})
            except Exception as e:  # its errors have no other base class
                raise ConversionError(f"ONNX Runtime does not run the net: {reason(e)}") from e
            by_name = dict(zip(wanted, values, strict=True))
            state = {n: by_name[o].reshape(a.shape) for n, (o, a) in self.states.items()}
            for name, tap in self.taps.items():
                axis = None if window == 1 else tap.axis
                found[name].append(tap.rows(by_name[tap.tensor], axis))
        return {name: np.concatenate(rows)[: len(xs)] for name, rows in found.items()}

    def _laid_out(self, piece: Float32) -> Float32:
        """x of the graph, from rows of features."""
        if self.axis is None:
            return piece.reshape(self.shape)
        rest = [size for axis, size in enumerate(self.shape) if axis != self.axis]
        return np.ascontiguousarray(np.moveaxis(piece.reshape(len(piece), *rest), 0, self.axis))


def original(
    model: onnx.ModelProto,
    trace: Trace,
    pairs: Mapping[str, str],
    parts: Sequence[Part],
    taps: Mapping[str, Tap],
    *,
    opened: bool,
) -> OnnxRuntime:
    """The graph as one call needs it. opened: its number of steps is. Raises ConversionError.

    If it answers at each step and its length is open, a whole stream is one call. Else the state is
    carried from call to call, so a state that the file keeps to itself becomes an input.
    """
    import onnxruntime

    whole = [name for name, tap in taps.items() if tap.axis is not None]
    answers = trace.steps == 1 or list(taps)[-1] in whole
    if not (opened or answers):
        raise ConversionError(
            f"it answers only after the last of {trace.steps} steps; export it with an open number "
            "of steps"
        )
    window = 0 if opened and answers else 1 if opened else trace.steps
    kept = {n: tap for n, tap in taps.items() if window == 1 or n in whole}
    x = next(iter(trace.shapes))
    shapes: dict[str, list[int | str]] = {n: list(s) for n, s in trace.shapes.items()}
    if trace.axis is not None:
        shapes[x][trace.axis] = window or "steps"
    states = {n: (o, np.zeros(trace.shapes[n], np.float32)) for n, o in pairs.items()}
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in trace.nodes]
    own = [] if window == 0 else _open_states(nodes, parts)
    for name, output, start in own:
        shapes[name] = [1, 1, start.size]
        states[name] = (output, start[None, None])
    names = [*(tap.tensor for tap in kept.values()), *(output for output, _ in states.values())]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(n, FLOAT, s) for n, s in shapes.items()],
        [helper.make_tensor_value_info(n, FLOAT, None) for n in dict.fromkeys(names)],
        trace.initializers,
    )
    changed = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    shape = tuple(0 if isinstance(size, str) else size for size in shapes[x])
    return OnnxRuntime(
        changed.SerializeToString(),
        x,
        shape,
        trace.axis,
        window,
        states,
        kept,
        tuple(name for name, *_ in own),
        f"ONNX Runtime {onnxruntime.__version__}",
    )


def _open_states(
    nodes: Sequence[onnx.NodeProto], parts: Sequence[Part]
) -> list[tuple[str, str, Float32]]:
    """Make inputs and outputs of states that the graph starts itself: their names and values."""
    found = []
    for part in parts:
        if not isinstance(part, RecurrentPart) or part.operator is None:
            continue
        node = nodes[part.operator]
        for state in part.open:
            place = INITIAL[state]
            output = 1 if state == "h" else 2
            node.input.extend([""] * (place + 1 - len(node.input)))
            node.output.extend([""] * (output + 1 - len(node.output)))
            node.input[place] = f"{part.node}.initial_{state}"
            node.output[output] = node.output[output] or f"{part.node}.Y_{state}"
            start = np.zeros(part.units, np.float32)
            if part.initial:
                start = np.array(part.initial["hc".index(state)], np.float32)
            found.append((node.input[place], node.output[output], start))
    return found
