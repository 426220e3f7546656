"""Walks the operators of a graph: constants are known, origins are moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import ConversionError
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.dense import Activation

from .. import Floats
from .._elements import MAX_STEPS, Ids, axis_of, elements
from .._parts import DensePart, LayerPart, Part, X
from .file import Graph, Operator, Tensor
from .types import check

LOOP = (
    "a loop that TensorFlow's converter left: convert a Keras layer LSTM, whose batch is 1 and "
    "whose activation is tanh, so that it becomes UNIDIRECTIONAL_SEQUENCE_LSTM, or import the "
    ".keras file"
)
WHY = {
    "WHILE": LOOP,
    "IF": "a branch",
    **dict.fromkeys(("READ_VARIABLE", "ASSIGN_VARIABLE", "VAR_HANDLE"), "a state of its own"),
    "BIDIRECTIONAL_SEQUENCE_LSTM": "it needs the whole sequence at once",
    "BIDIRECTIONAL_SEQUENCE_RNN": "it needs the whole sequence at once",
    "MEAN": "it may need the whole sequence at once",
}


class Walk:
    """What became of a graph's tensors and operators.

    axis      of time in x, None if x is one step
    steps     T of a call
    ids       tensor -> its origins
    constants tensor -> its real numbers, of what DEQUANTIZE makes too
    same      tensor -> the one that it is a quantized or a real copy of
    states    variable tensor -> the operator that it is a state of
    clips     cell state that is clipped -> the name of its operator, and at which value
    windows   operators that read several steps at once
    faults    sentences on operators
    """

    def __init__(
        self,
        graph: Graph,
        axis: int | None,
        handlers: Mapping[str, Callable[[Walk, Operator, str], None]],
    ) -> None:
        self.graph = graph
        self.axis = axis
        x = graph.inputs[0]
        shape = graph.tensors[x].shape
        self.steps = 1 if axis is None else shape[axis]
        if not 1 <= self.steps <= MAX_STEPS:
            raise ConversionError(f"the input has {self.steps} steps, expected 1 to {MAX_STEPS}")
        self.features = int(np.prod(shape)) // self.steps
        self.ids: dict[int, Ids] = {}
        self.constants: dict[int, Floats] = {}
        self.same: dict[int, int] = {}
        self.states: dict[int, str] = {}
        self.parts: list[Part] = []
        self.faults: list[str] = []
        self.unknown: Counter[str] = Counter()
        self.clips: dict[int, tuple[str, float]] = {}
        self.windows: list[Operator] = []
        self._sources = X
        rest = [size for k, size in enumerate(shape) if k != axis]
        ids = elements(X, np.arange(self.steps)[:, None], np.arange(self.features))
        ids = ids.reshape(self.steps, *rest)
        self.ids[x] = ids[0] if axis is None else np.moveaxis(ids, 0, axis)
        for operator in graph.operators:
            self._visit(operator, handlers)

    @property
    def said(self) -> list[str]:
        """All that can't be taken."""
        unknown = []
        for code, count in self.unknown.items():
            why = f" ({WHY[code]})" if code in WHY else ""
            unknown.append(f"{count} {code}{why}")
        if unknown:
            return [f"no layer here stands for these operators: {', '.join(unknown)}", *self.faults]
        return self.faults

    def source(self) -> int:
        self._sources += 1
        return self._sources

    def tensor(self, place: int) -> Tensor:
        return self.graph.tensors[place]

    def input(self, operator: Operator, place: int) -> int:
        """The tensor's place, -1 if it is left out."""
        return operator.inputs[place] if place < len(operator.inputs) else -1

    def moved(self, operator: Operator, place: int = 0) -> Ids:
        """Raises ConversionError for a constant."""
        at = self.input(operator, place)
        if at not in self.ids:
            raise ConversionError(f"its input {place} is no tensor that depends on the input")
        return self.ids[at]

    def constant(self, operator: Operator, place: int, what: str, scale: float = 0.0) -> Floats:
        """Raises ConversionError if it is none, or not finite. scale: if the tensor has none."""
        at = self.input(operator, place)
        if at < 0:
            raise ConversionError(f"it has no {what}")
        tensor = self.tensor(at)
        if at in self.constants:
            found = self.constants[at]
        elif tensor.data is None:
            raise ConversionError(f"its {what} is no constant")
        else:
            found = tensor.values(scale)
        if not np.isfinite(found).all():
            raise ConversionError(f"its {what} has NaN or infinity")
        self.constants[at] = found
        return found

    def whole(self, operator: Operator, place: int, what: str) -> NDArray[np.int64]:
        """Whole numbers of a constant."""
        at = self.input(operator, place)
        data = self.tensor(at).data if at >= 0 else None
        if data is None or data.dtype.kind not in "iu":
            raise ConversionError(f"its {what} is no constant of whole numbers")
        return data.ravel().astype(np.int64)

    def dense(
        self,
        operator: Operator,
        name: str,
        layer: tuple[Ids, Floats, Floats],
        activation: Activation = "none",
    ) -> Ids:
        """(units,) the origins of step 0 of a new layer. layer: its columns, W and b."""
        columns, W, b = layer
        source = self.source()
        nothing = np.empty(0, np.int64)
        self.parts.append(
            DensePart(
                *(name, str(operator.outputs[0]), nothing, source, columns, len(b), W, b),
                activation,
            )
        )
        return elements(source, 0, np.arange(len(b)))

    def layer(
        self,
        operator: Operator,
        name: str,
        operands: tuple[Ids, ...],
        kind: type[Layer],
        options: dict[str, Any] | None = None,
        vectors: dict[str, Floats] | None = None,
    ) -> Ids:
        """As `dense`, of a layer without a matrix."""
        source = self.source()
        units = len(operands[0])
        nothing = np.empty(0, np.int64)
        self.parts.append(
            LayerPart(
                *(name, str(operator.outputs[0]), nothing, source, np.concatenate(operands)),
                *(units, kind, options or {}, operands, vectors or {}),
            )
        )
        return elements(source, 0, np.arange(units))

    def done(self, operator: Operator, ids: Ids) -> None:
        """The output of the operator is that of the newest part."""
        self.parts[-1].ids = ids
        self.finish(operator, ids)

    def finish(self, operator: Operator, ids: Ids) -> None:
        """Raises ConversionError if the file tells another shape."""
        (place,) = operator.outputs[:1]
        shape = self.tensor(place).shape
        if ids.shape != shape:
            raise ConversionError(f"its output has the shape {shape}, expected {ids.shape}")
        self.ids[place] = ids

    def time(self, place: int) -> int | None:
        """The axis of time of a tensor that has all steps."""
        return axis_of(self.ids[place], self.steps) if self.steps > 1 else None

    def _visit(self, operator: Operator, handlers: Mapping[str, Any]) -> None:
        if operator.code not in handlers:
            self.unknown[operator.code] += 1
            return
        known = {*self.ids, *self.constants, *self.states}
        for place in operator.inputs:
            tensor = self.tensor(place) if place >= 0 else None
            if tensor and tensor.data is None and place not in known and not tensor.variable:
                if not (self.unknown or self.faults):
                    self.faults.append(f"{operator.code} reads {tensor.name!r} before it is there")
                return
        if not operator.outputs:
            self.faults.append(f"{operator.code} has no output")
            return
        name = self.tensor(operator.outputs[0]).name or operator.code
        if operator.outputs[0] in known:
            self.faults.append(f"{name!r} is written twice")
            return
        try:
            handlers[operator.code](self, operator, name)
            check(operator, self.graph.tensors)
        except ConversionError as e:
            self.faults.append(f"{operator.code} {name!r} can't be taken: {e}")
        except (ValueError, IndexError, TypeError, OverflowError) as e:  # of NumPy
            why = str(e).splitlines()[0] if str(e) else type(e).__name__
            self.faults.append(f"{operator.code} {name!r}: its inputs don't fit: {why}")
