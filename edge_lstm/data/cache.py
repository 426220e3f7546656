"""A cache of large data, whose arrays are mapped into memory.

An entry is the folder data/KEY in the cache folder. KEY is a hash of everything that decides what
is in it, and of the program's own files. So another input is another entry, and none is ever wrong.
Entries are written in a folder of another name, which is renamed at the end.

`content` is a hash of a file's bytes, which are read once. Later a file is known by its size, its
number and its times of change. The last of them, ctime, can't be set back. A file that was changed
within `DOUBTFUL` of the hashing is hashed again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import edge_lstm_runtime
from edge_lstm_runtime.files import (
    atomic_write,
    cache_folder,
    one_at_a_time,
    sealed_json,
    unsealed_json,
)

from .arrays import FACTS, Arrays, Named, as_json, opened

LIMIT = 20 << 30  # bytes of all entries
DOUBTFUL = 2_000_000_000  # ns: some file systems count time in steps of 2 s
REMEMBERED = 200_000  # files whose hash is kept
ABANDONED = 24 * 3600  # seconds: what another process has not touched since then, it has left
INDEX = "files.json"
_log = logging.getLogger("edge_lstm")

Stat = tuple[int, ...]


def kept(
    key: Any, fill: Callable[[Arrays], Any], valid: Callable[[], bool] = lambda: True
) -> tuple[Named, Any]:
    """The arrays and facts of a key, as `fill` made them, now or before.

    key: in JSON. fill: adds the arrays and returns the facts, in JSON. valid: whether what it has
    made may be found again. Raises what `fill` raises, and OSError or ConfigError if the cache
    can't be used.
    """
    folder = cache_folder() / "data"
    folder.mkdir(parents=True, exist_ok=True)
    whole = json.dumps([_program(), key], sort_keys=True)
    entry = folder / hashlib.sha256(whole.encode()).hexdigest()[:32]
    if (found := _opened(entry)) is not None:
        return found
    with one_at_a_time(folder / f"{entry.name}.entry", OSError, wait=True):
        return _opened(entry) or _made(entry, fill, valid)


@functools.lru_cache
def say_unused(why: str) -> None:
    """Tell once that the cache can't be used."""
    _log.warning("the cache of large data can't be used (%s): memory takes its place", why)


def reason(error: Exception) -> str:
    """Why the cache can't be used, for `say_unused`."""
    return str(getattr(error, "strerror", None) or error)


def _opened(entry: Path) -> tuple[Named, Any] | None:
    """None if there is no such entry, or a damaged one, which is removed."""
    try:
        found = opened(entry)
    except FileNotFoundError:
        return None
    except Exception as e:  # NumPy raises many types for a damaged file
        _log.warning("%s: damaged (%s): it is made anew", entry, e)
        shutil.rmtree(entry, ignore_errors=True)
        return None
    with contextlib.suppress(OSError):  # of another user
        os.utime(entry / FACTS)  # it is the one that was used last
    return found


def _made(
    entry: Path, fill: Callable[[Arrays], Any], valid: Callable[[], bool]
) -> tuple[Named, Any]:
    import tempfile  # slow to load

    new = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", suffix=".tmp", dir=entry.parent))
    arrays = Arrays(new)
    try:
        facts = fill(arrays)
        arrays.close(facts)
        if valid():
            new.rename(entry)
            _remove_old(entry)
        return arrays.end(), as_json(facts)
    finally:
        arrays.abandon()
        shutil.rmtree(new, ignore_errors=True)


def _remove_old(new: Path) -> None:
    """Remove the entries that were not used for longest, until LIMIT is kept."""
    ages: list[tuple[float, int, Path]] = []
    for entry in new.parent.iterdir():
        with contextlib.suppress(OSError):
            stats = [file.stat() for file in entry.iterdir()] if entry.is_dir() else []
            last = max((stat.st_mtime for stat in stats), default=0.0)
            if entry.name.startswith("."):
                if entry.is_dir() and time.time() - last > ABANDONED:
                    shutil.rmtree(entry, ignore_errors=True)
            elif entry.is_dir() and entry != new:
                ages.append((last, sum(stat.st_size for stat in stats), entry))
    room = LIMIT - sum(file.stat().st_size for file in new.iterdir())
    for _, size, entry in sorted(ages, reverse=True):
        room -= size
        if room < 0:
            shutil.rmtree(entry, ignore_errors=True)


def contents(stats: Mapping[Path, Stat]) -> dict[Path, str]:
    """The sha256 of each file. stats: as of `stat`, before."""
    index = cache_folder() / "data" / INDEX
    known: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError, RecursionError):
        known = dict(unsealed_json(index.read_bytes()))
    found = {}
    fresh = {}
    for file, known_as in stats.items():
        entry = known.pop(name := str(file.absolute()), None)
        if isinstance(entry, list) and entry[:-1] == list(known_as):
            found[file] = entry[-1]
            fresh[name] = entry
            continue
        began = time.time_ns()
        found[file] = _sha256(file)
        if stat(file) == known_as and began - max(known_as[-2:]) > DOUBTFUL:
            fresh[name] = [*known_as, found[file]]
    if any(name not in known or known[name] != entry for name, entry in fresh.items()):
        newest = dict([*fresh.items(), *known.items()][:REMEMBERED])
        with contextlib.suppress(OSError), atomic_write(index) as out:
            out.write(sealed_json(newest))
    return found


def stat(file: Path) -> Stat:
    """What a file is known by. Raises OSError."""
    found = file.stat()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@functools.lru_cache
def _program() -> str:
    """A hash of the program's files."""
    digest = hashlib.sha256()
    for folder in (Path(__file__).parents[1], Path(edge_lstm_runtime.__file__).parent):
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def module_of(cls: type) -> str:
    """A hash of the modules of a class and of those it derives from, which may be a plug-in's."""
    digest = hashlib.sha256()
    for each in cls.__mro__:
        if file := getattr(sys.modules.get(each.__module__), "__file__", None):
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()
