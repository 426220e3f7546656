"""Sensor data, divided, and the statistics that the model's specification carries."""

from __future__ import annotations

from edge_lstm_runtime.errors import DataError

from ..config.schema import Config
from .recordings import Recording, Sequence, Splits
from .splits import split
from .statistics import make_spec

__all__ = ["Recording", "Sequence", "Splits", "load_data", "make_spec"]


def load_data(config: Config) -> Splits:
    """Read, check and divide the data. Raises DataError."""
    data = config.data
    model = config.model
    asked = config.asked
    data.check(asked)
    found = data.read(asked)
    bare = [r.name for r in found if r.labels is None]
    if model.needs_labels and bare:
        none = "the data has no labels" if len(bare) == len(found) else "it has no label"
        raise DataError(f"{bare[0]}: {none}; expected one per sequence for task {model.task!r}")
    parts = split(found, data.split, within=model.splits_within_recordings)
    return model.divide(parts, data.inputs(asked, found[0].x.shape[1]))
