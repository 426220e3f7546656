"""Writing a file so that it is never half written, and the folder of the cache."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import ConfigError


def cache_folder() -> Path:
    """The folder for files that can be made again. It may not exist yet.

    It is EDGE_LSTM_CACHE, or "edge-lstm" in XDG_CACHE_HOME or in ~/.cache. Raises ConfigError if
    neither variable is set and there is no home folder.
    """
    if named := os.environ.get("EDGE_LSTM_CACHE"):
        return Path(named).absolute()
    try:
        shared = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as e:
        why = "HOME is not set, and the system knows no home folder of this user"
        raise ConfigError(f"there is no folder for the cache: {why}; set EDGE_LSTM_CACHE") from e
    return (shared / "edge-lstm").absolute()


def check_folder_writable(folder: Path) -> None:
    """Raise OSError now if a file could not be made in `folder`, or the folder itself not be made.

    Nothing is left behind.
    """
    import tempfile  # here: reading a bundle doesn't need it

    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(4096))  # the least that a disk gives
    except OSError as e:
        why = f"no file can be made in {there} ({e.strerror})"
        raise OSError(e.errno, why, str(folder)) from e


def check_file_writable(path: Path) -> None:
    """Raise OSError now if `atomic_write` could not replace the file. Nothing is left behind."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not path.parent.exists():
        raise FileNotFoundError(errno.ENOENT, f"the folder {path.parent} is not there", str(path))
    check_folder_writable(path.parent)


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
