"""Sensor data, divided, and the statistics that the model's specification carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.shown import is_plain

from ..config.load import as_config
from ..config.schema import Config
from .doubts import Setting, doubts, some
from .kept import recordings
from .recordings import Recording, Sequence, Splits, told
from .remembered import remembered, with_fingerprint
from .splits import split
from .statistics import make_spec

__all__ = ["Recording", "Sequence", "Splits", "load_data", "make_spec"]


def load_data(config: Config | Mapping[str, Any] | str | Path) -> Splits:
    """Read, check and divide the data. Raises DataError.

    config: a configuration, the path of one, "recipe:NAME", or a dict of its sections.

    >>> import edge_lstm as el
    >>> splits = el.load_data("mine.toml")
    >>> splits
    Splits(train 16, val 4, test 4 sequences; 3 channels, 2 classes)
    >>> splits.train[0].x.shape  # (T, C) float64, raw units
    (20, 3)
    """
    config = as_config(config)
    data = config.data
    model = config.model
    asked = config.asked
    data.check(asked)
    found, key = recordings(data, asked)
    bare = [r.name for r in found if r.labels is None]
    if model.needs_labels and bare:
        none = "the data has no labels" if len(bare) == len(found) else "it has no label"
        raise DataError(f"{bare[0]}: {none}; expected one per sequence for task {model.task!r}")
    parts = split(found, data.split, within=model.splits_within_recordings)
    splits = model.divide(parts, data.inputs(asked, found[0].x.shape[1]))
    if key is not None:
        splits = with_fingerprint(splits, [key, config.to_dict(), config.folder])
    _refuse_controls("channel", splits.channels)
    if not model.reads_characters:
        _refuse_controls("class", splits.classes)
    said = list(dict.fromkeys(note for recording in found for note in recording.notes))

    def doubted() -> list[str]:
        return _doubts(config, found, parts["train"])

    # They name rows of files, which the splits alone don't tell.
    about = ["doubts", key, config.to_dict()["data"], config.folder, config.model.target_columns]
    doubts_told = doubted() if key is None else remembered(splits, about, doubted)
    notes = (*some(said), *some(doubts_told))
    robust = getattr(data, "normalize", "") == "robust"  # a text has no such key
    return told(splits, found[0].form, notes, robust=robust)


def _doubts(config: Config, found: list[Recording], train: list[Recording]) -> list[str]:
    """Of samples that are numbers, not of sounds or characters."""
    data = config.data
    if data.needs_front_end or data.characters:
        return []
    channels = data.named_channels or data.inputs(config.asked, found[0].x.shape[1])
    described = data.described
    asked = Setting(
        described.get("missing", "refuse"),
        "missing_values" in type(data).model_fields,
        config.model.target_columns,
    )
    return doubts(found, train, channels, asked)


def _refuse_controls(kind: str, names: Iterable[str]) -> None:
    """Raise DataError for a name that would turn up in every terminal and report as it is."""
    for name in names:
        if not is_plain(name):
            raise DataError(
                f"the {kind} {name!a} has a control character or an invisible one in its name; "
                "rename it in the data"
            )
