"""A layer in both directions: torch's module of the inner layer, made bidirectional."""

from __future__ import annotations

from typing import cast

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.both_ways import BothWays

from . import kind_of
from .recurrent import RecurrentModule


def both_ways(layer: Layer, inputs: int) -> RecurrentModule:
    """Raises TrainingError if torch has no such module."""
    inner = cast(BothWays, layer).layer
    kind = kind_of(inner)
    if not (isinstance(kind, type) and issubclass(kind, RecurrentModule)):
        raise TrainingError(f"layer {layer.name!r}: type {inner.type!r} can't be trained both ways")
    return kind(inner, inputs, both=True)


MODULE = both_ways
