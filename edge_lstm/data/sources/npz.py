"""NumPy's .npz, of sequences.

x (N, T, C), or x (N, T, C) and lengths (N,), or x (total, C), one sequence after the other, and
lengths (N,). y (N,) the classes, or a class for each step: (N, T), or (total,). group (N,) the
groups, text or whole numbers: the sequences of a person or a device.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.files import atomic_write

from ...config.base import with_fact
from ...config.sections import Asked
from ...tasks import TASKS
from ..cases import Cases, CaseSection
from ..files import FileSection, first_line
from ..recordings import Recording, narrowest

NAME = "npz"


class Section(FileSection, CaseSection):
    """[data] of source "npz"."""

    KEPT = True

    def read(self, asked: Asked) -> list[Recording]:
        found = []
        for path, part in self.files(asked.folder):
            found += self.recordings(path, _cases(path), part)
        return found


def keep(path: Path, recordings: list[Recording]) -> None:
    """Write recordings with labels or without as such a file, the same bytes from the same values.

    A sequence's own class is written once if none of them changes.
    """
    arrays: dict[str, Any] = {
        "x": narrowest(np.concatenate([r.x for r in recordings])),
        "lengths": np.array([len(r.x) for r in recordings]),
        "group": np.array([r.group for r in recordings]),
    }
    labels = [r.labels for r in recordings if r.labels is not None]
    if labels:
        constant = all((of == of[0]).all() for of in labels)
        arrays["y"] = np.array([of[0] for of in labels]) if constant else np.concatenate(labels)
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def _cases(path: Path) -> Cases:
    arrays = {}
    where = ""
    try:
        zipfile.ZipFile(path).close()  # np.load takes a .npy too, which has no names
        with np.load(path, allow_pickle=False) as file:
            for name in file:
                where = f"array {name!r}: "
                arrays[name] = np.asarray(file[name])
    except Exception as e:  # NumPy raises many types for a damaged file
        labelled = " or ".join(map(repr, with_fact(TASKS, "needs_labels")))
        expected = f"expected numpy.savez of x, and of y for {labelled}, no objects"
        raise DataError(f"{path}: can't be read as .npz: {where}{first_line(e)}; {expected}") from e
    x, y, lengths, group = (arrays.get(name) for name in ("x", "y", "lengths", "group"))
    one_by_one = x is not None and x.ndim == 2 and lengths is not None
    if x is None or x.dtype.kind not in "fiub" or not (x.ndim == 3 or one_by_one):
        found = ", ".join(f"{k} {v.dtype}{v.shape}" for k, v in arrays.items()) or "no array"
        expected = "expected numbers x (N, T, C), or x (total, C) with lengths (N,)"
        raise DataError(f"{path}: {expected}; found {found}")
    if lengths is None:
        lengths = np.full(len(x), x.shape[1])
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        found = f"{lengths.dtype}{lengths.shape}"
        raise DataError(f"{path}: lengths is {found}; expected (N,) whole numbers of at least 1")
    x = x.astype(np.float64)
    if x.ndim == 2:
        if lengths.sum() != len(x):
            rows = f"lengths add up to {lengths.sum()}, and x has {len(x)} rows"
            raise DataError(f"{path}: {rows}; expected the same")
        cases = np.split(x, np.cumsum(lengths)[:-1])
    else:
        if len(lengths) != len(x) or (lengths > x.shape[1]).any():
            most = f"expected {len(x)} lengths of at most {x.shape[1]}"
            raise DataError(f"{path}: {most}, for x {x.shape}")
        cases = [case[:length] for case, length in zip(x, lengths, strict=True)]
    count = len(cases)
    if group is not None and (group.shape != (count,) or group.dtype.kind not in "iuU"):
        found = f"{group.dtype}{group.shape}"
        raise DataError(f"{path}: group is {found}; expected ({count},) text or whole numbers")
    if y is None or y.shape == (count,):
        return Cases(cases, y, group)
    steps = x.shape[:-1]
    if y.shape != steps:
        of_steps = f"or {steps}: one per step"
        expected = f"expected ({count},): one class per sequence, {of_steps}"
        raise DataError(f"{path}: y has shape {y.shape}, {expected}")
    each = np.split(y, np.cumsum(lengths)[:-1]) if x.ndim == 2 else list(y)
    return Cases(cases, [of[: len(x)] for of, x in zip(each, cases, strict=True)], group)
