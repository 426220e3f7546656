"""Data that is a list of sequences, with a class each or none, and no table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError

from ..config.base import Names
from ..config.sections import SampleSection
from .files import first_line
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
        labels: list[NDArray[np.str_]] | list[None] = [None] * len(cases)
        if found.y is not None:
            pairs = zip(cases, found.y, strict=True)
            texts = ((case, np.array([_text(y) for y in np.atleast_1d(of)])) for case, of in pairs)
            labels = [np.full(len(case), of) for case, of in texts]
            for k, of in enumerate(labels):
                if blank := [name for name in np.unique(of).tolist() if not name.strip()]:
                    raise DataError(
                        f"{path}, sequence {k}: the class is {blank[0]!r}; "
                        "expected one for every sequence; label it, or remove the sequence"
                    )
        names = [f"{path.stem}:{k}" for k in range(len(cases))]
        groups = names if found.group is None else [str(group) for group in found.group]
        recordings = []
        for k, (name, case) in enumerate(zip(names, cases, strict=True)):
            check_values(case, channels, f"{path}, sequence {k}", self.missing)
            recordings.append(Recording(name, groups[k], case, labels[k], part))
        return recordings


def _text(label: object) -> str:
    """The name of a class. A number that is NaN has none."""
    if isinstance(label, bytes):
        return label.decode("utf-8", "replace")
    return "" if isinstance(label, float) and label != label else str(label)


def read_ts(path: Path) -> Cases:
    """A .ts file of the UCR/UEA archive. Raises DataError."""
    from aeon.datasets import load_from_ts_file

    try:
        empty = not path.read_text(encoding="utf-8", errors="replace").strip()
        loaded = None if empty else load_from_ts_file(str(path))
    except Exception as e:  # aeon raises whatever its parser stumbles over
        raise DataError(f"{path}: can't be read as a .ts file: {first_line(e)}") from e
    if loaded is None:
        expected = "expected a .ts file with @data and at least one case"
        raise DataError(f"{path}: the file is empty; {expected}")
    cases, y = loaded if isinstance(loaded, tuple) else (loaded, None)
    return Cases([np.asarray(case, np.float64).T for case in cases], y)
