"""Sources that are lists of labelled sequences: .ts files of the UCR/UEA archive, aeon's built-in sets, and .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError

from ...config.schema import DataConfig
from ..columns import check_values
from ..recordings import Float64, Recording


def read_ts(path: Path, data: DataConfig, part: str | None) -> list[Recording]:
    from aeon.datasets import load_from_ts_file

    if not path.read_text(encoding="utf-8", errors="replace").strip():
        raise DataError(
            f"{path}: the file is empty; expected a .ts file with @data and at least one case"
        )
    try:
        loaded = load_from_ts_file(str(path))
    except Exception as e:  # aeon raises whatever its parser stumbles over
        raise DataError(
            f"{path}: can't be read as a .ts file: {str(e).splitlines()[0] if str(e) else type(e).__name__}"
        ) from e
    cases, y = loaded if isinstance(loaded, tuple) else (loaded, None)
    return _recordings(path, [np.asarray(case, np.float64).T for case in cases], y, data, part)


def read_aeon(data: DataConfig) -> list[Recording]:
    """The train and test parts of a set that ships inside aeon; nothing is downloaded."""
    import aeon.datasets

    folder = Path(aeon.datasets.__file__).parent / "data"
    files = {
        part: folder / str(data.name) / f"{data.name}_{part.upper()}.ts"
        for part in ("train", "test")
    }
    if not all(file.is_file() for file in files.values()):
        names = sorted(
            file.parent.name
            for file in folder.glob("*/*_TRAIN.ts")
            if list(file.parent.glob("*_TEST.ts"))
        )
        raise DataError(
            f"aeon ships no data set {data.name!r}; expected one of {', '.join(names)}; others: source = 'ts' with a file"
        )
    return [recording for part, file in files.items() for recording in read_ts(file, data, part)]


def read_npz(path: Path, data: DataConfig, part: str | None) -> list[Recording]:
    """x (N, T, C), or (N, T, C) and lengths (N,), or x (total, C) and lengths (N,) one after the other; y (N,) the classes."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise DataError(
            f"{path}: can't be read as .npz: {e}; expected numpy.savez of x, and of y for 'classify', no objects"
        ) from e
    x, y, lengths = (arrays.get(name) for name in ("x", "y", "lengths"))
    if (
        x is None
        or x.dtype.kind not in "fiub"
        or not (x.ndim == 3 or (x.ndim == 2 and lengths is not None))
    ):
        found = ", ".join(f"{k} {v.dtype}{v.shape}" for k, v in arrays.items())
        raise DataError(
            f"{path}: expected numbers x (N, T, C), or x (total, C) with lengths (N,); found {found or 'no array'}"
        )
    if lengths is None:
        lengths = np.full(len(x), x.shape[1])
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        raise DataError(
            f"{path}: lengths is {lengths.dtype}{lengths.shape}; expected (N,) whole numbers of at least 1"
        )
    x = x.astype(np.float64)
    if x.ndim == 2:
        if lengths.sum() != len(x):
            raise DataError(
                f"{path}: lengths add up to {lengths.sum()}, and x has {len(x)} rows; expected the same"
            )
        cases: list[Float64] = np.split(x, np.cumsum(lengths)[:-1])
    else:
        if len(lengths) != len(x) or (lengths > x.shape[1]).any():
            raise DataError(
                f"{path}: expected {len(x)} lengths of at most {x.shape[1]}, for x {x.shape}"
            )
        cases = [case[:length] for case, length in zip(x, lengths, strict=True)]
    if y is not None and y.shape != (len(cases),):
        raise DataError(
            f"{path}: y has shape {y.shape}, expected ({len(cases)},): one class per sequence"
        )
    return _recordings(path, cases, y, data, part)


def _recordings(
    path: Path, cases: list[Float64], y: Iterable[Any] | None, data: DataConfig, part: str | None
) -> list[Recording]:
    if not cases or not all(len(case) for case in cases):
        raise DataError(f"{path}: the file is empty, or has a sequence without samples")
    width = cases[0].shape[1]
    channels = data.channels or tuple(f"channel_{k}" for k in range(width))
    if len(channels) != width or any(case.shape[1] != width for case in cases):
        raise DataError(
            f"{path}: sequences have {sorted({c.shape[1] for c in cases})} channels, and `channels` names {len(channels)}"
        )
    labels: list[NDArray[np.str_]] | list[None] = [None] * len(cases)
    if y is not None:
        labels = [np.full(len(case), str(label)) for case, label in zip(cases, y, strict=True)]
    recordings = []
    for k, case in enumerate(cases):
        name = f"{path.stem}:{k}"
        check_values(case, channels, f"{path}, sequence {k}", data.missing)
        recordings.append(Recording(name, name, case, labels[k], part))
    return recordings
