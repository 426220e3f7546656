"""Arrays that are written part by part: in memory, or in a file without a name if they are large.

The file is in the cache folder. The system removes it with its process.
"""

from __future__ import annotations

import io
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.files import cache_folder

LARGE = 256 << 20  # bytes: what is expected to be more goes to a file


class Store:
    """expected: bytes."""

    def __init__(self, expected: int) -> None:
        self._file: IO[bytes] = io.BytesIO() if expected < LARGE else _unnamed()
        self._dtype: np.dtype[Any] = np.dtype(np.float64)
        self._shape: tuple[int, ...] = ()
        self.count = 0  # rows

    def add(self, rows: NDArray[Any]) -> None:
        self._dtype = rows.dtype
        self._shape = rows.shape[1:]
        content = np.ascontiguousarray(rows).data
        done = self._file.tell()
        try:
            self._file.write(content)
            self._file.flush()
        except OSError:  # a full disk
            self._file.seek(0)
            memory = io.BytesIO(self._file.read(done))
            memory.seek(done)
            memory.write(content)
            self._file.close()
            self._file = memory
        self.count += len(rows)

    def array(self) -> NDArray[Any]:
        """All rows. Changes of it are not written to the file."""
        shape = (self.count, *self._shape)
        if isinstance(self._file, io.BytesIO):
            return np.frombuffer(self._file.getbuffer(), self._dtype).reshape(shape)
        return np.asarray(np.memmap(self._file, self._dtype, "c", shape=shape))


def _unnamed() -> IO[bytes]:
    import tempfile  # slow to load

    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except (OSError, ConfigError):
        return io.BytesIO()
