"""What a search may change, and the configuration that the changes give."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from edge_lstm_runtime.errors import BundleError, ConfigError
from edge_lstm_runtime.layers import MAX_UNITS, recurrent_types

from ..config.schema import Config
from ..config.search import SearchConfig
from ..config.transforms import TransformConfig

Values = dict[str, Any]  # by the names of the dimensions

SMALLEST = 4  # units, if [search] says nothing
AROUND = 4.0  # times the configuration's own rate, up and down
DECAYS = (1e-4, 0.1)  # around no weight decay
CONFIGURED = "configured"
SIZE = "hidden_size"


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, on a logarithmic scale unless it is of few whole ones."""

    name: str
    low: float
    high: float
    log: bool = True
    whole: bool = False

    def holds(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclasses.dataclass(frozen=True)
class Choice:
    name: str
    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


Dimension = Range | Choice


@dataclasses.dataclass(frozen=True)
class Space:
    """dimensions: those with more than one value. fixed: the values of the others."""

    dimensions: tuple[Dimension, ...]
    fixed: Mapping[str, Any]

    @property
    def sizes(self) -> Range | None:
        """The dimension of the units, None if they are fixed."""
        found = [d for d in self.dimensions if isinstance(d, Range) and d.name == SIZE]
        return found[0] if found else None

    def start(self, config: Config) -> Values:
        """The configuration's own values, the nearest ones of the space."""
        own = own_values(config)
        found: Values = {}
        for dimension in self.dimensions:
            value = own[dimension.name]
            if isinstance(dimension, Range):
                value = min(max(value, dimension.low), dimension.high)
            elif not dimension.holds(value):
                value = dimension.values[0]
            found[dimension.name] = value
        return found

    def apply(self, config: Config, values: Mapping[str, Any]) -> Config:
        """The configuration with these values, and those that are fixed."""
        return changed(config, {**self.fixed, **values})

    def to_dict(self) -> dict[str, Any]:
        return {
            "dimensions": [dataclasses.asdict(dimension) for dimension in self.dimensions],
            "fixed": dict(self.fixed),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Space:
        found: list[Dimension] = [
            Choice(d["name"], tuple(d["values"])) if "values" in d else Range(**d)
            for d in values["dimensions"]
        ]
        return cls(tuple(found), values["fixed"])


def own_values(config: Config) -> Values:
    return {
        "type": config.model.type,
        "hidden_size": config.model.hidden_size,
        "num_layers": config.model.num_layers,
        "learning_rate": config.train.learning_rate,
        "weight_decay": config.train.weight_decay,
        "window": config.data.window,
        "transforms": CONFIGURED,
    }


def changed(config: Config, values: Mapping[str, Any]) -> Config:
    model = {key: values[key] for key in ("type", "hidden_size", "num_layers")}
    if values["num_layers"] == 1 and config.model.dropout:
        model["dropout"] = 0.0  # it works between layers
    train = {key: values[key] for key in ("learning_rate", "weight_decay")}
    data = _cuts(config, values["window"])
    if values["transforms"] != CONFIGURED:
        data["transforms"] = (*(_transforms(config)), _further(config, values["transforms"]))
    return config.model_copy(
        update={
            "model": config.model.model_copy(update=model),
            "train": config.train.model_copy(update=train),
            "data": config.data.model_copy(update=data),
        }
    )


def _cuts(config: Config, window: int | None) -> Values:
    """Keys of [data]. Windows that shared rows or met still do, so that no row is left out."""
    if window is None:
        return {}
    stride = getattr(config.data, "stride", None)  # a text has none
    if stride is None or stride > (config.data.window or 0):
        return {"window": window}
    return {"window": window, "stride": min(stride, window)}


def _transforms(config: Config) -> tuple[TransformConfig, ...]:
    found: tuple[TransformConfig, ...] = config.data.derivation.transforms
    return found


def _further(config: Config, kind: str) -> TransformConfig:
    """The transform that gives a further input for each channel."""
    if kind == "difference":
        return TransformConfig(type="difference", lag=1)
    return TransformConfig(type="distance", steps=config.data.season or config.data.window or 20)


def space_of(config: Config) -> Space:
    """The space that [search] describes. What it leaves out follows from the other sections.

    Raises ConfigError for a network that can't be searched.
    """
    if config.model.layers is not None or config.model.hidden_size is None:
        raise ConfigError(
            "[model] layers: a search changes `type`, `hidden_size` and `num_layers`; give these "
            "in place of the layers"
        )
    for key in ("devices", "num_nodes"):
        if (count := getattr(config.train, key)) != 1:
            raise ConfigError(
                f"[train] {key} = {count}: a search trains each net on one; add --set train.{key}=1"
            )
    for section in ("prune", "distill"):
        if getattr(config, section) is not None:
            raise ConfigError(
                f"[{section}]: a search changes the sizes that the section is about; remove it, "
                "and add it to the chosen configuration"
            )
    asked = config.search or SearchConfig()
    own = own_values(config)
    found: list[Dimension] = [
        Choice("type", asked.types or _types(config)),
        _sizes(asked.hidden_size or (SMALLEST, min(2 * own["hidden_size"], MAX_UNITS))),
        Range("num_layers", *(asked.num_layers or (1, 2)), log=False, whole=True),
        Range("learning_rate", *(asked.learning_rate or _around(own["learning_rate"]))),
        Range("weight_decay", *(asked.weight_decay or _decays(own["weight_decay"]))),
        Choice("window", asked.window or _windows(own["window"])),
        Choice("transforms", asked.transforms or _choices(config)),
    ]
    several = [d for d in found if not _single(d)]
    fixed = {d.name: d.values[0] if isinstance(d, Choice) else d.low for d in found if _single(d)}
    return Space(tuple(several), fixed)


def _types(config: Config) -> tuple[str, ...]:
    """The types of layers that need nothing but their units."""
    found = []
    for name in recurrent_types():
        try:
            config.model.model_copy(update={"type": name}).network(1, 1)
        except BundleError:
            continue
        found.append(name)
    return tuple(found)


def _sizes(ends: tuple[int, int]) -> Range:
    return Range("hidden_size", min(ends), max(ends), whole=True)


def _single(dimension: Dimension) -> bool:
    if isinstance(dimension, Choice):
        return len(dimension.values) == 1
    return dimension.low == dimension.high


def _around(value: float) -> tuple[float, float]:
    return _rounded(value / AROUND), _rounded(value * AROUND)


def _decays(value: float) -> tuple[float, float]:
    return (_rounded(value / 10), _rounded(value * 10)) if value else DECAYS


def _rounded(value: float) -> float:
    """Two digits, for tables."""
    return round(value, 1 - math.floor(math.log10(value)))


def _windows(own: int | None) -> tuple[int | None, ...]:
    return (own,) if own is None or own < 2 else (own // 2, own)


def _choices(config: Config) -> tuple[str, ...]:
    """Data without transforms of its own may get one, if its source has them."""
    able = "transforms" in type(config.data).model_fields
    if able and not _transforms(config) and config.data.named_channels:
        return CONFIGURED, "difference", "distance"
    return (CONFIGURED,)
