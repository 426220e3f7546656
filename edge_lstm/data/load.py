"""Sensor data: sources, splits without leakage, windows, and the statistics that the model's specification carries."""

from __future__ import annotations

from edge_lstm_runtime.errors import DataError

from ..config.schema import Config
from .recordings import Recording, Sequence, Splits
from .sources.read import recordings
from .sources.text import of_characters
from .splits import PARTS, Parts, label_runs, split
from .statistics import make_spec

__all__ = ["Recording", "Sequence", "Splits", "load_data", "make_spec"]


def load_data(config: Config) -> Splits:
    """Read, check and divide the data. Raises DataError."""
    found = recordings(config)
    if config.model.task == "classify" and any(r.labels is None for r in found):
        raise DataError(
            f"{found[0].name}: the data has no labels; expected one per sequence for task 'classify'"
        )
    parts = split(found, config.data.split, config.model.task)
    if config.model.task == "language":
        return of_characters(parts)
    channels = config.data.inputs or tuple(f"channel_{k}" for k in range(found[0].x.shape[1]))
    if config.front_end is not None:
        channels = config.front_end.front_end().names
    if config.model.task != "classify":
        train, val, test = (
            [
                Sequence(r.full_name, r.group, r.x, None, r.y, r.time, r.anomalous)
                for r in parts[part]
            ]
            for part in PARTS
        )
        return Splits(train, val, test, channels)
    parts = {part: label_runs(parts[part]) for part in PARTS}
    classes = _classes(parts)
    train, val, test = (
        [Sequence(r.full_name, r.group, r.x, classes.index(_label(r))) for r in parts[part]]
        for part in PARTS
    )
    return Splits(train, val, test, channels, classes)


def _label(run: Recording) -> str:
    assert run.labels is not None
    return str(run.labels[0])


def _classes(parts: Parts) -> tuple[str, ...]:
    """The classes of the training split: by number where all are numbers, else by name."""
    names = {part: {_label(run) for run in runs} for part, runs in parts.items()}
    for part in ("val", "test"):
        if unseen := sorted(names[part] - names["train"]):
            raise DataError(
                f"class {unseen[0]!r} is in the {part} split and not in training, so it can't be learned; change [data.split] so that "
                "training has every class, or leave the class out"
            )
    if len(names["train"]) < 2:
        raise DataError(
            f"the training split has one class, {min(names['train'])!r}; expected at least 2; change [data.split] or `label`"
        )
    try:
        return tuple(sorted(names["train"], key=lambda name: (float(name), name)))
    except ValueError:
        return tuple(sorted(names["train"]))
