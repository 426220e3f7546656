"""The folder of one conversion, in TMPDIR, and its lock."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from edge_lstm_runtime import ConversionError

PREFIX = "edge-lstm-converter-"


def claim_folder() -> tuple[Path, int | None]:
    """A new folder and its lock, which ends with this process. On a file system without locks, the
    lock may be None.

    Also removes the folders that killed processes left: those that nobody locks. Raises
    ConversionError if TMPDIR can't be used.
    """
    import fcntl

    try:
        parent = Path(tempfile.gettempdir())
        for folder in parent.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):  # locked, or not ours
                if time.time() - folder.stat().st_mtime < 10:  # perhaps not locked yet
                    continue
                claim = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(claim)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as e:
        place = Path(tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp")
        raise ConversionError(no_folder(place, e)) from e
    mine = None
    with contextlib.suppress(OSError):  # a file system without locks
        mine = os.open(folder, os.O_RDONLY)
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return folder, mine


def no_folder(folder: Path, error: OSError) -> str:
    return (
        f"can't write the converter's files into {folder}: {error.strerror or error}; "
        "TMPDIR names another place"
    )


def is_full(folder: Path) -> bool:
    """True if less than 1 MiB is free. The vendor's code may have removed some of its own files."""
    try:
        return shutil.disk_usage(folder).free < 2**20
    except OSError:
        return False
