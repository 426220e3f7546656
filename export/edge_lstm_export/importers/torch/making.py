"""Makes layers, and keeps which node is the output of which."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.combine import Combine
from edge_lstm_runtime.layers.dense import Dense

from .. import Float32, Floats
from .axes import Moves
from .values import Const, FaultError, Rows, module_of


@dataclasses.dataclass
class Making(Moves):
    """tensors: placeholder -> a weight. The rest is found.

    layers   (operator, inputs, weights) -> the layer
    sizes    layer, or FEATURES -> the size of its output
    found    layer -> step, or None -> the node that is its output, and the axis of time in it
    where    layer -> its name for messages
    fused    an activation that is a part of a layer -> its value
    """

    tensors: dict[str, Any]
    layers: dict[Any, Layer] = dataclasses.field(default_factory=dict, init=False)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict, init=False)
    weights: dict[str, Float32] = dataclasses.field(default_factory=dict, init=False)
    found: dict[str, tuple[dict[int | None, str], int | None]] = dataclasses.field(
        default_factory=dict, init=False
    )
    where: dict[str, str] = dataclasses.field(default_factory=dict, init=False)
    fused: dict[str, Rows] = dataclasses.field(default_factory=dict, init=False)

    def _layer(self, key: Any, layer: Layer, weights: Mapping[str, Floats], node: Any) -> Layer:
        """The layer of this key. It is the given one if there is none yet."""
        if key not in self.layers:
            self._keep(key, layer, node)
            for name, array in weights.items():
                self.weights[f"{layer.name}.{name}"] = np.ascontiguousarray(array, np.float32)
        return self.layers[key]

    def _of(self, layer: Layer, node: Any, rows: Rows) -> Rows:
        """The rows of a layer whose output the node is, for rows that it reads."""
        self._seen(layer.name, node, rows)
        return Rows((layer.name,), rows.axes, rows.at)

    def _dense(
        self, key: Any, rows: Rows, node: Any, weights: tuple[Floats, Floats], activation: Any
    ) -> Rows:
        """weights: W (inputs, units) and b (units)."""
        W, b = weights
        layer = Dense(self._name(Dense.type), rows.parts, len(b), activation)
        return self._of(self._layer(key, layer, {"W": W, "b": b}, node), node, rows)

    def _combined(self, operation: Any, rows: list[Rows], node: Any) -> Rows:
        """The sum, the product or the concatenation of what several rows have."""
        self._alike(rows)
        parts = tuple(self._single(r, node) for r in rows)
        if operation == "concat":
            parts = rows[0].parts
        layer = Combine(self._name(Combine.type), parts, operation)
        return self._of(self._layer((operation, parts), layer, {}, node), node, rows[0])

    def _single(self, rows: Rows, node: Any) -> str:
        """One layer with the values of all parts, side by side."""
        if len(rows.parts) == 1:
            return rows.parts[0]
        key = ("concat", rows.parts)
        layer = Combine(self._name(Combine.type), rows.parts, "concat")
        return self._layer(key, layer, {}, node).name

    def _keep(self, key: Any, layer: Layer, node: Any, part: str = "") -> None:
        self.layers[key] = layer
        self.sizes[layer.name] = layer.outputs(sum(self.sizes[name] for name in layer.inputs))
        self.where[layer.name] = (module_of(node) or node.name) + part

    def _seen(self, layer: str, node: Any, rows: Rows) -> None:
        axis = rows.axes.index("T") if "T" in rows.axes else None
        self.found.setdefault(layer, ({}, axis))[0].setdefault(rows.at, node.name)

    def _called(self, node: Any) -> tuple[str, ...]:
        """What is computed of the inputs: the operator, its weights and its options."""
        moving = [n for n in node.all_input_nodes if not self._is_constant(n)]
        weights = ["" if any(a is n for n in moving) else str(a) for a in node.args]
        return (str(node.target), *weights, str(node.kwargs))

    def _name(self, kind: str) -> str:
        return f"{kind}{sum(layer.type == kind for layer in self.layers.values())}"

    def _size(self, rows: Rows) -> int:
        return sum(self.sizes[name] for name in rows.parts)

    def _constant(self, node: Any) -> Any:
        """In float64. A number of Python counts as PyTorch's float32."""
        if isinstance(node, int | float):
            return np.float64(np.float32(node))
        value = self.values[node.name]
        if not isinstance(value, Const):
            raise FaultError(f"has a weight that is computed, {node.name!r}")
        return value.tensor.double().numpy()

    def _is_constant(self, node: Any) -> bool:
        return isinstance(node, int | float) or isinstance(self.values[node.name], Const)
