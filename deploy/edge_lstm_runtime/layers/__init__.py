"""The layer types. Each type is a file of this folder. No other file of the runtime names one.

A layer is products and one pointwise cell. Each product multiplies a vector by a weight matrix,
and the cell turns the sums into the output and the new state. `cell` is written once, for NumPy
and for torch. It alone gives a layer a float64 reference, a NumPy backend, emulated number formats
and ranges. A type adds more code only if something must be fast or has its own form: `fast` here,
a C file, an ONNX operator, a torch module.

A weight of two dimensions is a matrix. A cell never touches one: the caller of `cell` computes the
products, and may round the weights or the vectors on the way.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from reprlib import repr as shown  # of any depth and length: a hostile file may hold both
from typing import Any, ClassVar, Literal, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError
from ..registry import Registry
from ..shown import is_plain
from .ops import NUMPY, Ops

FEATURES = "x"  # as an input of a layer: the network's features
MAX_UNITS = 16384
MAX_NUMBER = float(np.finfo(np.float32).max)
MAX_WRAPPERS = 4  # around one layer
Array = Any  # of NumPy or torch
Shape = tuple[int, ...]
Float32 = NDArray[np.float32]
Product = Callable[[str, Array], Array]  # (name of a matrix, vectors (..., in)) -> (..., out)


class Fast(NamedTuple):
    """step: computes one step in place. state: views of the state's memory, by name."""

    step: Callable[[], None]
    state: dict[str, Float32]


@dataclasses.dataclass(frozen=True)
class Layer(ABC):
    """One node of a network.

    name    unique within the network; weights and states are called "NAME.W" and "NAME.h"
    inputs  the names of the layers that it reads, FEATURES for the network's features. Several are
            concatenated in this order
    initial the values of each state at the start of a stream, in the order of `state`. If it is
            empty, they are zero

    Raises BundleError, naming the layer, for a field of a wrong type or out of bounds.
    """

    type: ClassVar[str]
    whole: ClassVar[bool] = False  # whether it needs the whole sequence and has no step
    recurrent: ClassVar[str] = "h"  # the state that enters a product
    first: ClassVar[Mapping[str, float]] = {}  # what vectors are before training, if not zero
    name: str
    inputs: tuple[str, ...]
    initial: tuple[tuple[float, ...], ...] = dataclasses.field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        kinds = _kinds(type(self))
        for field in dataclasses.fields(self):
            _check_field(self, field.name, kinds[field.name])

    @abstractmethod
    def outputs(self, inputs: int) -> int:
        """The size of the output for an input of size `inputs`."""

    @abstractmethod
    def weights(self, inputs: int) -> dict[str, Shape]:
        """Name -> shape of each weight, in the order in which they are stored."""

    def state(self, inputs: int) -> dict[str, int]:
        """Name -> size of each state, in the order in which they are stored."""
        return {}

    def check_inputs(self, sizes: Sequence[int]) -> None:
        """Raise BundleError unless it takes inputs of these sizes, and fits `initial` to them."""
        expected = list(self.state(sum(sizes)).values())
        found = [len(values) for values in self.initial]
        good = not self.initial or found == expected
        check_layer(self.name, good, f"initial has the sizes {found}, expected {expected}")

    @abstractmethod
    def cell(
        self,
        ops: Ops,
        product: Product,
        weights: Mapping[str, Array],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        """One step: the output (..., outputs) and the new state, each (..., size).

        product: computes the products. weights: those that are no matrices. x: (..., inputs).
        """

    @property
    def bounded(self) -> bool:
        """Whether its output and its state `recurrent` always lie in -1 to 1.

        If they do, the int8 cell of an NPU takes them. A type that can say so says it.
        """
        return False

    @property
    def entry(self) -> str:
        """The name of the matrix that multiplies x."""
        return "W_x"

    @property
    def multiplies_state(self) -> bool:
        """Whether one of its products is with its state `recurrent`."""
        return "W_h" in self.weights(1)

    def joined(self, ops: Ops, weights: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        """W_x (inputs, S), W_h (H, S) and b (S) for a layer that `multiplies_state`.

        x W_x + h W_h + b are the sums that `ops.sums` gets. h is the state named `recurrent`.
        """
        return weights["W_x"], weights["W_h"], weights["b"]

    def separated(self, ops: Ops, W_x: Array, W_h: Array) -> dict[str, Array]:
        """The matrices by their own names, from W_x and W_h of `joined`, (rows, S) each."""
        return {"W_x": W_x, "W_h": W_h}

    @property
    def title(self) -> str:
        """A name in a word or two, for people."""
        units = getattr(self, "units", "")
        return f"{self.type} {units}".rstrip()

    def macs(self, inputs: int) -> int:
        """Multiply-accumulates of one step. Here only those of the products."""
        return sum(math.prod(s) for s in self.weights(inputs).values() if len(s) == 2)

    def sequence(self, ops: Ops, product: Product, weights: Mapping[str, Array], x: Array) -> Array:
        """x: (steps, inputs), a whole sequence in NumPy -> (steps, outputs)."""
        state = self.initial_state(x.shape[1], x.dtype)
        found = np.empty((len(x), self.outputs(x.shape[1])), x.dtype)
        for t, row in enumerate(x):
            found[t], state = self.cell(ops, product, weights, row, state)
        return found

    def fast(
        self, weights: Mapping[str, Float32], vector: Float32, inputs: int, batch: Shape
    ) -> Fast:
        """A step in float32 NumPy, in place. A type may override this one, which calls the cell.

        vector: (inputs + 1 + outputs, *batch), [x, 1, y]. The caller fills in x, and `step` writes
        y. If a state is the output, its memory is y. batch: () or (streams,).
        """
        state = {n: np.zeros((size, *batch), np.float32) for n, size in self.state(inputs).items()}
        x = vector[:inputs]
        y = vector[inputs + 1 :]

        def product(name: str, v: Array) -> Array:
            return v @ weights[name]

        def step() -> None:
            before = {name: array.T for name, array in state.items()}
            output, after = self.cell(NUMPY, product, weights, x.T, before)
            y[:] = output.T
            for name, array in after.items():
                state[name][:] = array.T

        return Fast(step, state)

    def answer(
        self, weights: Mapping[str, Float32], vector: Float32, inputs: int, batch: Shape
    ) -> tuple[Callable[[], Float32], dict[str, Float32]]:
        """As `fast`, for the last layer of a network. The step returns the output, a new array."""
        step, state = self.fast(weights, vector, inputs, batch)
        y = vector[inputs + 1 :]

        def answer() -> Float32:
            step()
            return y.copy()

        return answer, state

    def whole_run(
        self, weights: Mapping[str, Float32], inputs: int
    ) -> Callable[[Float32], Float32]:
        """A function of a whole sequence, (steps, inputs) -> (steps, outputs)."""
        outputs = self.outputs(inputs)
        vector = np.ones(inputs + 1 + outputs, np.float32)
        x = vector[:inputs]
        y = vector[inputs + 1 :]
        step, state = self.fast(weights, vector, inputs, ())
        initial = self.initial_state(inputs)

        def run(rows: Float32) -> Float32:
            for name, part in state.items():
                part[:] = initial[name]
            found = np.empty((len(rows), outputs), np.float32)
            for row, to in zip(rows, found, strict=True):
                x[:] = row
                step()
                to[:] = y
            return found

        return run

    def initial_state(self, inputs: int, dtype: Any = np.float32) -> dict[str, NDArray[Any]]:
        """The states at the start of a stream, (size,) each."""
        sizes = self.state(inputs)
        if not self.initial:
            return {name: np.zeros(size, dtype) for name, size in sizes.items()}
        return {n: np.array(v, dtype) for n, v in zip(sizes, self.initial, strict=True)}

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        initial = [list(state) for state in values.pop("initial")]
        begin = {"initial": initial} if initial else {}
        return {"type": self.type, **values, "inputs": list(self.inputs), **begin}


@functools.cache
def _kinds(layer: type[Layer]) -> dict[str, Any]:
    """The types of a layer's fields. Reading them takes longer than all the checks of a layer."""
    return get_type_hints(layer)


def check_layer(name: object, condition: bool, what: str) -> None:
    """Raise BundleError, naming the layer, unless the condition holds."""
    if not condition:
        raise BundleError(f"network: layer {name!r}: {what}")


def _check_field(layer: Layer, field: str, kind: Any) -> None:
    """Check the type too: in a JSON file, 8.0, "8" and true could stand for a number."""
    value = getattr(layer, field)
    name = getattr(layer, "name", None)
    if field == "name":
        good = isinstance(value, str) and value != "" and not set(value) & set("./\\ ")
        good = good and is_plain(value)  # it names weights, and nodes of graphs
        check_layer(name, good, "expected a name without dots, slashes, spaces and controls")
    elif field == "inputs":
        good = isinstance(value, tuple) and value != () and all(isinstance(v, str) for v in value)
        check_layer(name, good, f"inputs is {shown(value)}, expected a list of names, at least one")
    elif field == "initial":
        lists = isinstance(value, tuple) and all(isinstance(state, tuple) for state in value)
        good = lists and all(_is_number(v) for state in value for v in state)
        check_layer(
            name,
            good,
            f"initial is {shown(value)}, expected a list of finite numbers for each state",
        )
    elif kind is float:
        good = _is_number(value) and value > 0
        check_layer(name, good, f"{field} is {shown(value)}, expected a number above 0")
        object.__setattr__(layer, field, float(value))  # 1 is one, in JSON and TOML
    elif get_origin(kind) is Literal:
        expected = ", ".join(map(repr, get_args(kind)))
        check_layer(
            name, value in get_args(kind), f"{field} is {shown(value)}, expected one of {expected}"
        )
    elif kind is bool:
        check_layer(
            name, isinstance(value, bool), f"{field} is {shown(value)}, expected true or false"
        )
    elif kind is int:
        good = type(value) is int and 1 <= value <= MAX_UNITS
        check_layer(
            name, good, f"{field} is {shown(value)}, expected a whole number from 1 to {MAX_UNITS}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and abs(value) <= MAX_NUMBER


LAYERS = Registry(__name__, "edge_lstm.layers", "layer type", "LAYER", unknown=BundleError)


def recurrent_types() -> list[str]:
    """The names of the types that carry a state from step to step."""
    kinds = {name: LAYERS.load(name).LAYER for name in LAYERS.names()}
    return [name for name, k in kinds.items() if k.state is not Layer.state and not k.whole]


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def from_dict(values: object, wrappers: int = 0) -> Layer:
    """The inverse of `to_dict`. Raises BundleError, naming the layer, for anything else.

    wrappers: those that are around this layer.
    """
    name = values.get("name") if isinstance(values, Mapping) else None
    check_layer(
        name, isinstance(values, Mapping), f"is {shown(values)}, expected an object with a type"
    )
    assert isinstance(values, Mapping)
    kind = values.get("type")
    if not isinstance(kind, str) or kind not in LAYERS:
        known = ", ".join(LAYERS.names())
        check_layer(name, False, f"type is {shown(kind)}, expected one of {known}")
    layer: type[Layer] = LAYERS.load(str(kind)).LAYER
    known_keys = {f.name: f for f in dataclasses.fields(layer)}
    given = {k: _as_tuple(v) for k, v in values.items() if k != "type"}
    if unknown := sorted(set(given) - set(known_keys)):
        check_layer(
            name, False, f"has unknown keys {unknown}; type {kind!r} has {list(known_keys)}"
        )
    needed = {k for k, f in known_keys.items() if f.default is dataclasses.MISSING}
    if missing := sorted(needed - set(given)):
        check_layer(name, False, f"lacks {missing}")
    if "layer" in known_keys:  # a wrapper: the inner layer has its name and inputs
        inner: Any = given["layer"]
        good = isinstance(inner, Mapping)
        check_layer(name, good, f"layer is {shown(inner)}, expected an object with a type")
        deep = f"layers are inside each other, more than {MAX_WRAPPERS} deep"
        check_layer(name, wrappers < MAX_WRAPPERS, deep)
        described = {**inner, "name": name, "inputs": given["inputs"]}
        given["layer"] = from_dict(described, wrappers + 1)
    arguments: dict[str, Any] = given
    return layer(**arguments)
