"""Arrays that are written part by part, in memory or in a folder, from which they are mapped.

The folder has an .npy file for each, and facts.json: what else is to be known, and the type, the
shape and the CRC-32 of each array.
"""

from __future__ import annotations

import contextlib
import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.files import sealed_json, unsealed_json

from .chunks import parts

FACTS = "facts.json"
HEADER = 128  # bytes of an .npy file before its numbers: version 1.0 of NumPy's format
MAGIC = b"\x93NUMPY\x01\x00"

Named = dict[str, NDArray[Any]]


class UnfitError(Exception):
    """Arrays that can't be one: of several types or shapes, or in another order."""


class Arrays:
    """folder: an empty one, None for memory. Methods raise OSError and UnfitError."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._open: dict[str, _Array] = {}
        self._whole: Named = {}
        self._kinds: dict[str, list[Any]] = {}

    def add(self, name: str, rows: NDArray[Any]) -> None:
        if name not in self._open:
            path = None if self._folder is None else self._folder / f"{name}.npy"
            self._open[name] = _Array(path)
        self._open[name].add(rows)

    def rows(self, name: str) -> int:
        """How many were added."""
        return self._open[name].rows if name in self._open else 0

    def end(self) -> Named:
        """The arrays that are whole: all that were added until now."""
        for name, array in self._open.items():
            self._whole[name], self._kinds[name] = array.end()
        self._open = {}
        return self._whole

    def drop(self, name: str) -> None:
        """Leave a whole array out."""
        del self._whole[name]
        del self._kinds[name]
        if self._folder is not None:
            (self._folder / f"{name}.npy").unlink()

    def close(self, facts: Mapping[str, Any]) -> None:
        """Write the facts: the folder is then complete."""
        self.end()
        if self._folder is not None:
            (self._folder / FACTS).write_bytes(sealed_json({"arrays": self._kinds, "facts": facts}))

    def abandon(self) -> None:
        """Close the files. What was not written stays so."""
        for array in self._open.values():
            array.abandon()


class _Array:
    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[bytes] = io.BytesIO() if path is None else path.open("wb")
        self._file.write(bytes(HEADER))
        self._kind: tuple[Any, ...] = ()
        self._crc = 0
        self.rows = 0

    def add(self, rows: NDArray[Any]) -> None:
        rows = np.ascontiguousarray(rows)
        kind = (rows.dtype, rows.shape[1:])
        if self._kind not in ((), kind):
            raise UnfitError
        self._kind = kind
        for part in parts(rows):
            content = _content(part)
            self._crc = zlib.crc32(content, self._crc)
            self._file.write(content)
        self.rows += len(rows)

    def end(self) -> tuple[NDArray[Any], list[Any]]:
        dtype, tail = self._kind
        shape = (self.rows, *tail)
        if isinstance(self._file, io.BytesIO):
            made = np.frombuffer(self._file.getbuffer(), dtype, offset=HEADER).reshape(shape)
            return made, []
        assert self._path is not None
        said = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape}}}"
        size = HEADER - len(MAGIC) - 2
        self._file.seek(0)
        self._file.write(MAGIC + size.to_bytes(2, "little") + f"{said:<{size - 1}}\n".encode())
        self._file.close()
        return _mapped(self._path), [dtype.str, list(shape), self._crc]

    def abandon(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


def opened(folder: Path) -> tuple[Named, Any]:
    """The arrays of a folder, mapped into memory, and its facts.

    Raises FileNotFoundError if there are none, and errors of many types if they are damaged.
    """
    contents = unsealed_json((folder / FACTS).read_bytes())
    found = {}
    for name, kind in contents["arrays"].items():
        array = found[name] = _mapped(folder / f"{name}.npy")
        crc = 0
        for part in parts(array):
            crc = zlib.crc32(_content(part), crc)
        if [array.dtype.str, [*array.shape], crc] != kind:
            raise ValueError(f"{name}.npy does not have the numbers that were written")
    return found, contents["facts"]


def as_json(value: Any) -> Any:
    """As it is read back."""
    return json.loads(json.dumps(value))


def _mapped(path: Path) -> NDArray[Any]:
    """It can't be changed."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _content(rows: NDArray[Any]) -> memoryview:
    """rows: C-contiguous."""
    return rows.reshape(-1).view(np.uint8).data
