"""Files that are never half written, that show damage, and that one process writes at a time."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from .digest import sha256
from .errors import ConfigError

_SEAL = b"\nedge-lstm sha256 "  # then 64 digits and a newline: the end of a sealed file
_KEY = "sha256"  # the last key of a sealed JSON file


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


def check_folder_writable(folder: Path, name: str = "edge-lstm") -> None:
    """Raise OSError now if a file could not be made in `folder`, or the folder itself not be made.

    name: of the file. Nothing is left behind.
    """
    import tempfile  # here: reading a bundle doesn't need it

    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    try:
        with tempfile.NamedTemporaryFile(prefix=f".{name}.", suffix=".tmp", dir=there) as file:
            file.write(bytes(4096))  # the least that a disk gives
    except OSError as e:
        why = f"no file can be made in {there} ({e.strerror})"
        raise OSError(e.errno, why, str(folder)) from e


def check_file_writable(path: Path) -> None:
    """Raise OSError now if `atomic_write` could not replace the file. Nothing is left behind."""
    _check_is_file(path)
    if not path.parent.exists():
        raise FileNotFoundError(errno.ENOENT, f"the folder {path.parent} is not there", str(path))
    check_folder_writable(path.parent, path.name)


def _check_is_file(path: Path) -> None:
    """Raise OSError if the path is there and no file. A rename would replace /dev/null for all."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is a device or a pipe, not a file", str(path))


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a binary file that replaces `path` only if the block ends without an error.

    The bytes go to a temporary file beside `path`, which reaches the disk (fsync), is renamed, and
    then the folder reaches the disk. A full disk or a kill leaves the old file whole. Raises
    OSError, which names `path`; NotSyncedError if only the last step failed.
    """
    import tempfile  # here: reading a bundle doesn't need it

    path = Path(path)
    _check_is_file(path)
    prefix = f".{path.name}."
    temporary = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # as open() would; mkstemp makes it private
        temporary.replace(path)
        temporary = None
    except OSError as e:
        if e.filename is not None and not Path(os.fsdecode(e.filename)).name.startswith(prefix):
            raise  # of the block, about another file
        raise OSError(e.errno, e.strerror or str(e), str(path)) from e
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    try:
        sync_folder(path.parent)
    except OSError as e:
        raise NotSyncedError(e.errno, e.strerror, str(path)) from e


class NotSyncedError(OSError):
    """The new file is in its place, but a power cut may lose it."""


def failure(error: OSError) -> str:
    """Why a file was not written, and the file that is there now, in words."""
    there = (
        "the new file is there, but a power cut may lose it"
        if isinstance(error, NotSyncedError)
        else "what was there before is unchanged"
    )
    return f"{error.strerror or error}; {there}"


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Names that were made, changed or removed in the folder reach the disk. Raises OSError."""
    if os.name == "nt":
        return  # a folder can't be opened there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as e:
        if e.errno != errno.EINVAL:  # a file system on which folders can't be synced
            raise
    finally:
        os.close(descriptor)


def sealed(content: bytes) -> bytes:
    """The content and its sha256. See `unsealed`."""
    return content + _SEAL + _digest(content) + b"\n"


def unsealed(data: bytes) -> tuple[bytes, bool]:
    """The content of a file, and whether a seal was there. Files of earlier versions have none.

    Raises ValueError if the content is not the sealed one.
    """
    end = len(data) - len(_SEAL) - 65
    if end < 0 or not data.startswith(_SEAL, end):
        return data, False
    if data[end + len(_SEAL) :] != _digest(data[:end]) + b"\n":
        raise ValueError("the content does not have the sha256 that was written with it")
    return data[:end], True


def sealed_json(values: Mapping[str, Any]) -> bytes:
    """JSON whose last key is the sha256 of the others. Raises ValueError for a number that is not
    finite."""
    return (_json({**values, _KEY: _digest(_json(values).encode()).decode()}) + "\n").encode()


def unsealed_json(data: bytes) -> Any:
    """The values of `sealed_json`. Files of earlier versions have no seal.

    Raises ValueError if they are not the sealed ones.
    """
    values = json.loads(data)
    if not isinstance(values, dict) or not values:
        return values
    last, digest = next(reversed(values.items()))
    # A damaged name of the seal is no other name: a "fingerprint" has as many digits.
    if not (isinstance(digest, str) and len(digest) == 64 and len(last) == len(_KEY)):
        return values
    del values[last]
    as_written = data.removesuffix(f',\n  "{_KEY}": "{digest}"\n}}\n'.encode()) + b"\n}"
    if last != _KEY or digest not in (
        sha256(text)
        for text in (as_written, _json(values).encode())  # the second takes longer
    ):
        raise ValueError("the values do not have the sha256 that was written with them")
    return values


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, allow_nan=False)


def _digest(content: bytes) -> bytes:
    return sha256(content).encode()


@contextlib.contextmanager
def one_at_a_time(path: Path, error: type[Exception], *, wait: bool = False) -> Iterator[None]:
    """Keep other processes away from `path` until the block ends.

    wait: until another process is done with it, in place of the first error.

    If it is a folder, the lock is on the folder. Otherwise it is on a file ".NAME.lock" beside it,
    which is removed at the end. The system ends the lock with the process, so a killed process
    blocks nobody. A file system or a system without locks keeps nobody away.

    Raises `error` if another process holds it, or if the lock's file can't be made.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    place = path if path.is_dir() else path.with_name(f".{path.name}.lock")
    flags = os.O_RDONLY if place is path else os.O_RDWR | os.O_CREAT
    while True:
        try:
            descriptor = os.open(place, flags, 0o666)
        except OSError as e:
            raise error(f"can't write {path}: {e.strerror}") from e
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError as e:
                    raise error(
                        f"{path}: another process holds it and is writing there; wait until that "
                        "one has ended, or choose another name"
                    ) from e
            if not _is(place, descriptor):
                continue  # removed meanwhile by the process that held it
            try:
                yield
            finally:
                if place is not path:
                    place.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _is(place: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(place.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
