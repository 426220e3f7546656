"""Data that is a list of sequences, with a class each or none, and no table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_lstm_runtime.errors import DataError

from ..config.base import Names
from ..config.sections import SampleSection
from .recordings import Float64, Recording
from .table import check_values


class Cases(NamedTuple):
    """x: (T, C) each. y: the class of each, or (T,) its classes. group: the group of each."""

    x: list[Float64]
    y: Iterable[Any] | None = None
    group: Iterable[Any] | None = None


class CaseSection(SampleSection):
    """[data] of the sources that are a list of sequences.

    channels  names for the inputs, in order
    """

    channels: Names | None = None

    @property
    def named_channels(self) -> tuple[str, ...] | None:
        return self.channels

    def recordings(self, path: Path, found: Cases, part: str | None) -> list[Recording]:
        """One for each case. Raises DataError."""
        cases = found.x
        if not cases or not all(len(case) for case in cases):
            raise DataError(f"{path}: the file is empty, or has a sequence without samples")
        width = cases[0].shape[1]
        channels = self.channels or tuple(f"channel_{k}" for k in range(width))
        if len(channels) != width or any(case.shape[1] != width for case in cases):
            widths = sorted({case.shape[1] for case in cases})
            named = f"`channels` names {len(channels)}"
            raise DataError(f"{path}: sequences have {widths} channels, and {named}")
        labels: list[Any] = [None] * len(cases)
        if found.y is not None:
            pairs = zip(cases, found.y, strict=True)
            labels = []
            for k, (case, of) in enumerate(pairs):
                where = f"{path}, sequence {k}"
                texts = np.array([_text(y, where) for y in np.atleast_1d(of)])
                labels.append(np.full(len(case), texts))
                if (texts == "").any():
                    raise DataError(
                        f"{where}: the class is ''; "
                        "expected one for every sequence; label it, or remove the sequence"
                    )
        names = [f"{path.stem}:{k}" for k in range(len(cases))]
        groups = names if found.group is None else [str(group) for group in found.group]
        recordings = []
        for k, (name, case) in enumerate(zip(names, cases, strict=True)):
            check_values(case, channels, f"{path}, sequence {k}", self.missing)
            recordings.append(Recording(name, groups[k], case, labels[k], part))
        return recordings


def _text(label: object, where: str) -> str:
    """The name of a class, without spaces around it. NaN has none. Raises DataError."""
    if not isinstance(label, bytes):
        return "" if label != label else str(label).strip()
    try:
        return label.decode().strip()
    except UnicodeDecodeError:
        expected = "expected text, or its bytes in UTF-8; decode the classes before saving them"
        raise DataError(f"{where}: the class {label!r} is no UTF-8; {expected}") from None
