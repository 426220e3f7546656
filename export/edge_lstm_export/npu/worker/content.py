"""The files of a folder, and one sha256 of all of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


@dataclasses.dataclass(frozen=True, order=True)
class File:
    """changed: the time (ns) that every write sets, and no call sets to a wished value."""

    name: str
    size: int
    changed: int
    link: bool


def listed(folder: Path, but: str) -> tuple[File, ...]:
    """All but the file `but`. Those that Python has compiled count too, because they are run."""
    found = []
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif (name := os.path.relpath(entry.path, folder)) != but:
                    facts = entry.stat(follow_symlinks=False)
                    link = entry.is_symlink()
                    found.append(File(name, facts.st_size, facts.st_ctime_ns, link))
    return tuple(sorted(found))


@functools.lru_cache(maxsize=4)  # an environment of each vendor
def digest_of(folder: Path, found: tuple[File, ...]) -> str:
    """sha256 of the names and the contents; of a link its target."""

    def digest(file: File) -> str:
        path = folder / file.name
        content = hashlib.sha256()
        try:
            if file.link:
                return str(path.readlink())
            with path.open("rb") as opened:
                while part := opened.read(2**20):
                    content.update(part)
        except OSError as e:
            return f"can't be read: {e.strerror}"
        return content.hexdigest()

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        digests = threads.map(digest, found)
        lines = [f"{file.name}\0{of_it}\n" for file, of_it in zip(found, digests, strict=True)]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
