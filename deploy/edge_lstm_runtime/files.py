"""Files that are either the old one or the new one, never half of it; and the folder of the cache."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def cache_folder() -> Path:
    """Where what can be made again lies; it may not be there yet. Raises RuntimeError where there is no home either."""
    named = (
        os.environ.get("EDGE_LSTM_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-lstm"
    )
    return Path(named).absolute()


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a binary file that takes the place of `path` only when the block ends without an error.

    The bytes go to a temporary file beside `path`, reach the disk (fsync) and are then renamed over
    it, so that a full disk or a kill leaves the old file whole.
    """
    import tempfile  # here: reading a bundle doesn't need it

    path = Path(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes it private; a plain open() would not
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
