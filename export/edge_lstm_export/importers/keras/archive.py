"""A file of Keras 3, without Keras: it may hold code, which nothing here runs."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_lstm_runtime.errors import ConversionError

from .. import Float32

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
LARGEST = {CONFIG: 1 << 26, WEIGHTS: 1 << 29}  # bytes
MAX_ARRAYS = 4096
HINT = 'expected what model.save("net.keras") of Keras 3 writes'
MISSING = 'a .keras file needs Keras; pip install "edge-lstm[keras]"'
# What zipfile, h5py and json raise for a damaged file.
DAMAGED = (
    *(OSError, ValueError, KeyError, EOFError, RuntimeError, TypeError, RecursionError),
    *(NotImplementedError, AttributeError, MemoryError, IndexError, zipfile.BadZipFile, zlib.error),
)


class Archive(NamedTuple):
    """config: of the model. arrays: path in the file of weights -> values. h5: that file."""

    config: Any
    arrays: dict[str, Float32]
    h5: bytes


def load(path: Path) -> Archive:
    """Raises ConversionError, without the path."""
    if any(importlib.util.find_spec(name) is None for name in ("keras", "h5py")):
        raise ConversionError(MISSING)
    with _damaged("can't be read"), zipfile.ZipFile(path) as archive:
        config, h5 = (_member(archive, name) for name in LARGEST)
    with _damaged(f"{CONFIG} can't be read"):
        values = json.loads(config)
    with _damaged(f"{WEIGHTS} can't be read"):
        return Archive(values, _arrays(h5), h5)


@contextlib.contextmanager
def _damaged(what: str) -> Iterator[None]:
    try:
        yield
    except DAMAGED as e:
        why = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise ConversionError(f"{what}: {why}; {HINT}") from e


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Raises ConversionError if it is missing or large, before it is unpacked."""
    found = [info for info in archive.infolist() if info.filename == name]
    if len(found) != 1:
        raise ConversionError(
            f"has {len(found) or 'no'} member{'s' * (len(found) > 1)} {name!r}; {HINT}"
        )
    if found[0].file_size > LARGEST[name]:
        raise ConversionError(f"{name} is larger than {LARGEST[name] >> 20} MiB")
    with archive.open(found[0]) as member:
        return member.read(LARGEST[name])


def _arrays(h5: bytes) -> dict[str, Float32]:
    """All weights in float32. Links to other places and to other files are refused."""
    import h5py

    found: dict[str, Float32] = {}
    room = LARGEST[WEIGHTS]

    def walk(group: Any, prefix: str) -> None:
        nonlocal room
        for name in group:
            at = f"{prefix}{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ConversionError(f"{WEIGHTS}: {at!r} is a link to another place: not taken")
            item = group[name]
            if isinstance(item, h5py.Group):
                if at.count("/") > 32:
                    raise ConversionError(f"{WEIGHTS}: {at[:60]!r} is too deep inside")
                walk(item, f"{at}/")
                continue
            if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
                raise ConversionError(f"{WEIGHTS}: {at!r} is not stored in the file")
            room -= math.prod(item.shape or ()) * 8
            if room < 0 or len(found) == MAX_ARRAYS:
                raise ConversionError(f"{WEIGHTS} unpacks to more than is taken, at {at!r}")
            if item.dtype.kind in "fiu":  # the state of a random generator is whole numbers
                found[at] = np.asarray(item[()]).astype(np.float32)

    with h5py.File(io.BytesIO(h5), "r") as file:
        walk(file, "")
    return found
