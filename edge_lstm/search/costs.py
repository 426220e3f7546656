"""What a net costs on a board, before it is trained: any weights of its shape will do."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import int8_products
from edge_lstm_runtime.errors import BackendError, ConfigError
from edge_lstm_runtime.model.network import Network
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.schema import Config
from ..data.recordings import Splits
from ..data.statistics import make_spec
from .budget import Budget
from .space import SIZE, Choice, Range, Space, Values

LARGE = 10_000_000  # parameters, which would have to be made to be counted
Microseconds = Callable[[ModelSpec, str], float]  # of a net in a number format


@dataclasses.dataclass
class Costs:
    """Of the nets of a space. us: microseconds of a step, see clock.py."""

    config: Config
    space: Space
    splits: Splits
    formats: tuple[str, ...]
    us: Microseconds

    def __post_init__(self) -> None:
        self._specs: dict[str, ModelSpec] = {}  # by the transforms, which the inputs depend on

    def spec(self, values: Values) -> ModelSpec:
        """The specification of a net, with the statistics of the first draw's data."""
        config = self.space.apply(self.config, values)
        key = {**self.space.fixed, **values}["transforms"]
        if key not in self._specs:
            self._specs[key] = make_spec(config, self.splits)
        found = self._specs[key]
        network = config.model.network(found.inputs.feature_size, found.answer.size)
        return dataclasses.replace(found, network=network)

    def of(self, values: Values, quantities: Iterable[str]) -> dict[str, dict[str, float]]:
        """Number format -> quantity -> how much, for the formats that the net has."""
        spec = self.spec(values)
        measures: dict[str, Callable[[str], float]] = {
            "bytes": lambda number_format: bytes_of(spec, number_format),
            "macs": lambda _: spec.network.macs_per_step,
            "us": lambda number_format: self.us(spec, number_format),
        }
        wanted = list(quantities)
        formats = [f for f in self.formats if f != "int8" or has_int8(spec.network)]
        return {f: {name: measures[name](f) for name in wanted} for f in formats}


def has_int8(network: Network) -> bool:
    return bool(int8_products(network)) and not network.whole


def bytes_of(spec: ModelSpec, number_format: str) -> int:
    """The bytes of the constants in flash, as a C export has them.

    Those of the weights alone if the native library is not here, or can't run the network, and of a
    network too large for a board.
    """
    if spec.network.parameters > LARGE:
        return stored_bytes(spec.network, number_format)
    try:
        weights = random_weights(spec.network)
        return NativeBackend(spec, weights, number_format, kernel="portable").weight_bytes
    except BackendError:
        return stored_bytes(spec.network, number_format)


def stored_bytes(network: Network, number_format: str) -> int:
    """The bytes of the weights in a bundle: 4 for each, or, of the matrices that int8 has, 1 for
    each and 4 for each column's step."""
    shapes = int8_products(network).values() if number_format == "int8" else ()
    entries = sum(math.prod(shape) for shape in shapes)
    steps = sum(shape[1] for shape in shapes)
    return entries + 4 * steps + 4 * (network.parameters - entries)


def random_weights(network: Network) -> dict[str, NDArray[np.float32]]:
    """Small enough for states that stay bounded, and no zeros."""
    rng = np.random.default_rng(0)
    found = {name: rng.normal(0, 0.1, shape) for name, shape in network.weights.items()}
    return {name: array.astype(np.float32) for name, array in found.items()}


def within(costs: Costs, budget: Budget) -> tuple[Space, str]:
    """The space without sizes that can't fit, and a sentence on what was left out, "" for nothing.

    Microseconds are left to each trial, because a measurement isn't exact.
    Raises ConfigError if the smallest net is over the budget.
    """
    space = costs.space
    least = min(_smallest(costs), key=lambda one: over(costs, budget, one))
    if over(costs, budget, least) > 0:
        raise ConfigError(_impossible(costs, budget, least))
    counted = Budget({name: v for name, v in budget.limits.items() if name != "us"})
    found = space.sizes
    if not counted.limits or found is None:
        return space, ""
    most = max(_largest(costs, counted, one, found) for one in _smallest(costs))
    if most >= found.high:
        return space, ""
    narrowed = dataclasses.replace(found, high=most)
    said = f"hidden_size {narrowed} (not up to {found.high:g}): more is over {counted}"
    if narrowed.low == most:
        rest = tuple(d for d in space.dimensions if d is not found)
        return Space(rest, {**space.fixed, SIZE: most}), said
    dimensions = tuple(narrowed if d is found else d for d in space.dimensions)
    return Space(dimensions, space.fixed), said


def _smallest(costs: Costs) -> Iterator[Values]:
    """The smallest net of each choice: of each type, with each transform."""
    space = costs.space
    lowest = {d.name: d.low for d in space.dimensions if isinstance(d, Range)}
    choices = [d for d in space.dimensions if isinstance(d, Choice)]
    for chosen in itertools.product(*(d.values for d in choices)):
        yield {**lowest, **dict(zip((d.name for d in choices), chosen, strict=True))}


def over(costs: Costs, budget: Budget, values: Values) -> float:
    """By how much the format that is nearest to the budget is over it, at most 0 if one fits."""
    return min(map(budget.over, costs.of(values, budget.limits).values()))


def _largest(costs: Costs, budget: Budget, values: Values, sizes: Range) -> int:
    """The most units with which the net fits, one less than the fewest if none does."""
    low = int(sizes.low) - 1
    high = int(sizes.high)
    while low < high:
        middle = (low + high + 1) // 2
        if over(costs, budget, {**values, SIZE: middle}) <= 0:
            low = middle
        else:
            high = middle - 1
    return low


def _impossible(costs: Costs, budget: Budget, least: Values) -> str:
    by_format = costs.of(least, budget.limits)
    number_format = min(by_format, key=lambda f: budget.over(by_format[f]))
    shown = ", ".join(f"{v:,.4g} {name}" for name, v in by_format[number_format].items())
    of = {**costs.space.fixed, **least}
    net = f"{of['type']}, {of['num_layers']} x {of[SIZE]} units, {number_format}"
    return (
        f"--budget {budget}: no net of the space fits; the smallest one ({net}) has {shown}; "
        "raise the budget, or lower the ends of [search]"
    )
