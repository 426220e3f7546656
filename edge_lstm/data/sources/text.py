"""Plain text as a source: its characters one after the other, and their vocabulary."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs.characters import UNKNOWN

from ...config.schema import DataConfig
from ..recordings import Float64, Recording, Sequence, Splits
from ..splits import PARTS, Parts

CHANNEL = "character"


def read(path: Path, data: DataConfig, part: str | None) -> list[Recording]:
    """One recording, x (T, 1): the code point of each character, after `lower`, `keep` and `first`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise DataError(f"{path}: can't be read ({e}); expected a text in UTF-8") from e
    if data.lower:
        text = text.lower()
    if data.keep is not None:
        text = re.sub(f"[^{re.escape(data.keep)}]+", " ", text)
    text = text[: data.first]
    if len(text) < 2:
        raise DataError(
            f"{path}: has {len(text)} characters, of those that `keep` leaves; expected a text"
        )
    return [
        Recording(path.stem, path.stem, np.array([[ord(c)] for c in text], np.float64), part=part)
    ]


def of_characters(parts: Parts) -> Splits:
    """The vocabulary is the unknown and the characters of the training split, by code point; others become the unknown."""
    known = sorted({int(point) for recording in parts["train"] for point in np.unique(recording.x)})
    if len(known) < 2:
        raise DataError(
            f"the training split has one character, {chr(known[0])!r}, again and again; expected at least 2"
        )
    classes = (UNKNOWN, *map(chr, known))
    train, val, test = (
        [Sequence(r.full_name, r.group, indices(r, classes)) for r in parts[part]] for part in PARTS
    )
    return Splits(train, val, test, (CHANNEL,), classes)


def indices(recording: Recording, classes: tuple[str, ...]) -> Float64:
    """(T, 1) the index of each character into the classes, 0 for those that are not among them."""
    known = {ord(character): k for k, character in enumerate(classes[1:], 1)}
    return np.array([[known.get(int(point), 0)] for point in recording.x[:, 0]], np.float64)
