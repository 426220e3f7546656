"""Writing a file so that it is never half written, and the folder of the cache."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def cache_folder() -> Path:
    """The folder for files that can be made again. It may not exist yet.

    It is EDGE_LSTM_CACHE, or "edge-lstm" in XDG_CACHE_HOME or in ~/.cache. Raises RuntimeError if
    neither variable is set and there is no home folder.
    """
    named = (
        os.environ.get("EDGE_LSTM_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-lstm"
    )
    return Path(named).absolute()


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a binary file that replaces `path` only if the block ends without an error.

    The bytes go to a temporary file beside `path`, which reaches the disk (fsync) and is then
    renamed. A full disk or a kill leaves the old file whole. Raises OSError.
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
        temporary.chmod(0o666 & ~umask)  # as open() would; mkstemp makes it private
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
