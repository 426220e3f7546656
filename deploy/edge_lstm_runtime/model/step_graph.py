"""The second kind of network: one step as an ONNX graph, for nets that no list of layers describes.

The graph is a member of the bundle. Nothing here reads it: a backend that runs graphs does, and
compares its inputs and outputs with what this says of them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping
from typing import Any

from ..errors import BundleError
from ..layers import Layer
from .network import Network

Shape = tuple[int, ...]
KIND = "step-graph"
MEMBER = "model.onnx"
MAX_STATES = 256
MAX_AXES = 8
MAX_VALUES = 2**26  # of a tensor
# A session's state has names of its own, without a dot.
STATE = re.compile(r"step\.[A-Za-z0-9_]{1,100}")
OPERATOR = re.compile(r"[A-Za-z0-9_.\-]{1,200}")
KEYS = {"kind", "member", "x", "y", "states", "operators", "parameters"}


@dataclasses.dataclass(frozen=True)
class StepGraph(Network):
    """A network without layers of ours, so `layers` is empty.

    x, y       the shapes of the input and of the output in the graph
    shapes     the states in order, "step.NAME" -> shape in the graph
    operators  that no layer here stands for, sorted, for messages
    constants  values of weights in the graph
    member     of the bundle, that holds the graph

    Raises BundleError for what no graph can have.
    """

    layers: tuple[Layer, ...] = dataclasses.field(default=(), init=False)
    x: Shape = ()
    y: Shape = ()
    shapes: Mapping[str, Shape] = dataclasses.field(default_factory=dict)
    operators: tuple[str, ...] = ()
    constants: int = 0
    member: str = MEMBER

    def __post_init__(self) -> None:
        if math.prod(self.x) != self.features:
            raise BundleError(
                f"network: x is {self.x}, expected the {self.features} features of the inputs"
            )
        if not 1 <= len(self.shapes) <= MAX_STATES:
            raise BundleError(f"network: has {len(self.shapes)} states, expected 1 to {MAX_STATES}")

    @property
    def output(self) -> str:
        return "y"

    @property
    def outputs(self) -> int:
        return math.prod(self.y)

    @functools.cached_property
    def state(self) -> dict[str, int]:
        return {name: math.prod(shape) for name, shape in self.shapes.items()}

    @property
    def graph_inputs(self) -> dict[str, Shape]:
        states = {f"{name.replace('.', '_')}_in": shape for name, shape in self.shapes.items()}
        return {"x": self.x, **states}

    @property
    def members(self) -> tuple[str, ...]:
        return (self.member,)

    @property
    def parameters(self) -> int:
        return self.constants

    @property
    def title(self) -> str:
        return f"opaque step graph ({', '.join(self.operators)})"

    @property
    def size(self) -> str:
        return f"{self.parameters:,} parameters"

    @property
    def opaque(self) -> str:
        listed = ", ".join(self.operators)
        have = "has" if len(self.operators) == 1 else "have"
        return f"the net is an opaque step graph: {listed} {have} no layer here"

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "member": self.member,
            "x": list(self.x),
            "y": list(self.y),
            "states": [[name, list(shape)] for name, shape in self.shapes.items()],
            "operators": list(self.operators),
            "parameters": self.parameters,
        }


def step_graph_from(features: int, values: Mapping[str, Any]) -> StepGraph:
    """The inverse of `StepGraph.to_json`. Raises BundleError, naming the key."""
    if set(values) != KEYS:
        raise BundleError(f"network: has the keys {sorted(values)}, expected {sorted(KEYS)}")

    def check(key: str, good: bool, expected: str) -> None:
        if not good:
            raise BundleError(f"network: {key} is {_short(values[key])}, expected {expected}")

    check("kind", values["kind"] == KIND, repr(KIND))
    check("member", values["member"] == MEMBER, repr(MEMBER))
    for key in ("x", "y"):
        check(key, _is_shape(values[key]), "a shape: a list of sizes from 1")
    states = values["states"]
    pairs = isinstance(states, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and _is_name(pair[0], STATE)
        and _is_shape(pair[1])
        for pair in states
    )
    check("states", pairs, "pairs of a name, such as step.h, and a shape")
    names = [name for name, _ in states]
    check("states", len(set(names)) == len(names), "each name once")
    operators = values["operators"]
    named = isinstance(operators, list) and all(_is_name(name, OPERATOR) for name in operators)
    check("operators", named and bool(operators), "names of operators")
    parameters = values["parameters"]
    check("parameters", type(parameters) is int and parameters >= 0, "a number from 0")
    return StepGraph(
        features,
        x=tuple(values["x"]),
        y=tuple(values["y"]),
        shapes={name: tuple(shape) for name, shape in states},
        operators=tuple(operators),
        constants=parameters,
    )


def _is_shape(value: object) -> bool:
    if not isinstance(value, list) or len(value) > MAX_AXES:
        return False
    return all(type(n) is int and n >= 1 for n in value) and math.prod(value) <= MAX_VALUES


def _is_name(value: object, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 100 else f"{text[:97]}..."
