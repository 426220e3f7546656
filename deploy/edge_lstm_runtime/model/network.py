"""The network of a model: an ordered list of named layers."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError
from ..layers import FEATURES, Array, Layer, Shape, check_layer, from_dict
from ..layers.ops import NUMPY, Ops

MAX_LAYERS = 64
State = dict[str, NDArray[Any]]  # by name, such as "lstm0.h", in the order of `Network.state`
LayerProduct = Callable[[Layer, str, Array], Array]  # (layer, name of its matrix, vectors)


@dataclasses.dataclass(frozen=True)
class Network:
    """A directed graph without cycles inside a step.

    A layer reads the features, or layers before it. The last layer's output is the network's.
    features: F, the size of the input. Raises BundleError if the layers don't fit together.
    """

    features: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise BundleError(f"network: has {len(self.layers)} layers, expected 1 to {MAX_LAYERS}")
        names = [layer.name for layer in self.layers]
        for name in names:
            check_layer(name, name != FEATURES, "the name stands for the features")
            check_layer(name, names.count(name) == 1, "the name is there twice")
        for k, layer in enumerate(self.layers):
            for name in layer.inputs:
                check_layer(
                    layer.name,
                    name == FEATURES or name in names,
                    f"reads {name!r}, and there is no such layer; "
                    f"expected one of {', '.join([FEATURES, *names[:k]])}",
                )
                check_layer(
                    layer.name,
                    name not in names[k:],
                    f"reads {name!r}, which does not come before it: a cycle, or a wrong order",
                )
        _ = self.sizes  # which each layer checks

    @functools.cached_property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """The sizes of each layer's input and output, by the layer's name."""
        outputs = {FEATURES: self.features}
        found = {}
        for layer in self.layers:
            parts = [outputs[name] for name in layer.inputs]
            layer.check_inputs(parts)
            inputs = sum(parts)
            outputs[layer.name] = layer.outputs(inputs)
            found[layer.name] = (inputs, outputs[layer.name])
        return found

    @property
    def output(self) -> str:
        """The name of the layer whose output is the network's."""
        return self.layers[-1].name

    @property
    def outputs(self) -> int:
        """O, the size of the output."""
        return self.sizes[self.output][1]

    @property
    def title(self) -> str:
        return " -> ".join(layer.title for layer in self.layers)

    @property
    def size(self) -> str:
        """In words."""
        return f"{self.parameters} parameters, {self.macs_per_step} MACs a step"

    @property
    def opaque(self) -> str:
        """Why NumPy and C can't run it, as a sentence. "" if they can: it is made of layers."""
        return ""

    @property
    def graph_inputs(self) -> dict[str, Shape]:
        """The inputs that a graph of the bundle must have, by name. {} if the layers say it all."""
        return {}

    @property
    def members(self) -> tuple[str, ...]:
        """The members that a bundle must have for it, beside those that all have."""
        return ()

    @property
    def whole(self) -> bool:
        """Whether it needs a whole sequence. A single step then has no answer."""
        return any(layer.whole for layer in self.layers)

    @functools.cached_property
    def state(self) -> dict[str, int]:
        """The states in order, "LAYER.NAME" -> size. Empty if the network is `whole`."""
        if self.whole:
            return {}
        return {
            f"{layer.name}.{name}": size
            for layer in self.layers
            for name, size in layer.state(self.sizes[layer.name][0]).items()
        }

    @functools.cached_property
    def weights(self) -> dict[str, Shape]:
        """The weights in order, "LAYER.NAME" -> shape."""
        return {
            f"{layer.name}.{name}": shape
            for layer in self.layers
            for name, shape in layer.weights(self.sizes[layer.name][0]).items()
        }

    def check_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Raise BundleError unless they are finite float32 arrays as `self.weights` lists them."""
        if set(weights) != set(self.weights):
            raise BundleError(f"weights are {sorted(weights)}, expected {sorted(self.weights)}")
        for name, shape in self.weights.items():
            array = weights[name]
            if array.shape != shape or array.dtype != np.float32:
                raise BundleError(
                    f"weight {name} is {array.dtype}{array.shape}, expected float32{shape}"
                )
            if not np.isfinite(array).all():
                raise BundleError(f"weight {name} has values that are not finite")

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.weights.values())

    @property
    def macs_per_step(self) -> int:
        """Multiply-accumulates: one for each matrix entry, and the products inside the cells."""
        return sum(layer.macs(self.sizes[layer.name][0]) for layer in self.layers)

    def initial_state(self, dtype: type[np.floating[Any]] = np.float32) -> State:
        """The states at the start of a stream. Most begin at zero."""
        found: State = {name: np.zeros(size, dtype) for name, size in self.state.items()}
        for layer in self.layers:
            if layer.initial:
                own = layer.initial_state(self.sizes[layer.name][0], dtype)
                found |= {f"{layer.name}.{name}": array for name, array in own.items()}
        return found

    def own(self, layer: Layer, values: Mapping[str, Any]) -> dict[str, Any]:
        """A layer's own weights or states, by the layer's names, from those of the network."""
        prefix = f"{layer.name}."
        return {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}

    def step(
        self,
        ops: Ops,
        product: LayerProduct,
        weights: Mapping[str, Mapping[str, Array]],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        """One step: the outputs (..., O) and the new state, both of NumPy or of torch as `ops` is.

        product: computes each layer's products. x: (..., F). weights: `own` of each layer.
        """
        values, after = self.values(ops, product, weights, x, state)
        return values[self.layers[-1].name], after

    def values(
        self,
        ops: Ops,
        product: LayerProduct,
        weights: Mapping[str, Mapping[str, Array]],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """As `step`, with the outputs of all layers by name, FEATURES too."""
        values = {FEATURES: x}
        after: dict[str, Array] = {}
        for layer in self.layers:

            def of_layer(name: str, v: Array, layer: Layer = layer) -> Array:
                return product(layer, name, v)

            joined = ops.join([values[name] for name in layer.inputs])
            before = self.own(layer, state)
            y, new = layer.cell(ops, of_layer, weights[layer.name], joined, before)
            values[layer.name] = y
            after.update({f"{layer.name}.{name}": array for name, array in new.items()})
        return values, after

    def whole_values(
        self, product: LayerProduct, weights: Mapping[str, Mapping[str, Array]], xs: Array
    ) -> dict[str, Array]:
        """(steps, size) the outputs of all layers over a whole sequence by name, FEATURES too.

        In NumPy. product, weights: as of `values`. xs: (steps, F).
        """
        values = {FEATURES: xs}
        for layer in self.layers:

            def of_layer(name: str, v: Array, layer: Layer = layer) -> Array:
                return product(layer, name, v)

            x = NUMPY.join([values[name] for name in layer.inputs])
            values[layer.name] = layer.sequence(NUMPY, of_layer, weights[layer.name], x)
        return values

    def to_json(self) -> Any:
        """For a specification: `to_list`, or an object for the other kind of network."""
        return self.to_list()

    def to_list(self) -> list[dict[str, Any]]:
        """The layers as JSON objects."""
        return [layer.to_dict() for layer in self.layers]


def network_from(features: int, layers: object) -> Network:
    """The inverse of `Network.to_list`. Raises BundleError, naming the layer."""
    if not isinstance(layers, Sequence) or isinstance(layers, str):
        raise BundleError(f"network: is {layers!r}, expected a list of layers")
    return Network(features, tuple(from_dict(values) for values in layers))
