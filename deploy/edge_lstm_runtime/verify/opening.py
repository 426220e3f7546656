"""A library that ends the process is not opened again and again.

While "auto" opens a backend and checks it, a locked file of that question lies in the cache folder.
The system ends a lock with its process. So a file without a lock is of a process that ended
meanwhile: by a crash in a vendor's library, or killed because it hung or took the memory.
`EDGE_LSTM_REMEMBER=0` turns this off. A folder that can't be written counts as an empty one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .. import log
from ..errors import BackendError, ConfigError
from ..files import cache_folder
from .auto_cache import wanted

TRIES = 2  # processes. One may have been killed for another reason
LASTS = 86_400.0  # seconds, after which a file counts no more


@contextlib.contextmanager
def opening(key: str) -> Iterator[None]:
    """key: of a backend, a bundle and a machine, for the name of a file.

    Raises BackendError if TRIES processes ended in this block during the last day.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    if not wanted():
        yield
        return
    descriptor = None
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        ended = [file for file in folder.glob(f"opening-{key}-*") if _ended(file)]
        if len(ended) < TRIES:
            file = folder / f"opening-{key}-{os.getpid()}-{time.monotonic_ns()}"
            descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o666)
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
    except (OSError, ConfigError) as e:
        log.info("a crash of a backend would not be remembered: %s", e)
        ended = []
    if len(ended) >= TRIES:
        raise BackendError(
            f"{TRIES} processes ended while they opened it here; it is tried again after a day, or "
            f"once you remove {folder}/opening-{key}-*"
        )
    try:
        yield
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                file.unlink()
            os.close(descriptor)


def _ended(file: Path) -> bool:
    """Whether the file's process has ended, during the last day. An older file is removed."""
    import fcntl

    try:
        with file.open("rb") as there:
            fcntl.flock(there, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(there.fileno()).st_mtime < LASTS:
                return True
            file.unlink()
    except OSError:  # locked, or removed meanwhile
        pass
    return False
