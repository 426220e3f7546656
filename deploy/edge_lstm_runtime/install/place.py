"""The folder of one model on a board.

    releases/DIGEST16/NAME.edge  and NAME.edge.sig; DIGEST16 is the begin of the file's sha256
    current                      a link to releases/DIGEST16, replaced by a rename
    install.json                 the journal: what is there, and whether it has been watched

Whatever ends the process, `current` is a release that is whole: a release gets its name when it
is on the disk, and a new link takes the place of the old one at once. What is half made has a name
that begins with a dot and ends with .tmp, and the next call removes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import BundleError, ConfigError
from ..files import (
    atomic_write,
    check_folder_writable,
    one_at_a_time,
    sealed_json,
    sync_folder,
    unsealed_json,
)
from ..model.bundle import Bundle, read_bundle
from ..trust.check import signature_of
from .receive import Sent

RELEASES = "releases"
FOLDER = re.compile(r"[0-9a-f]{16}")
WATCHING = "watching"
DONE = "done"


@dataclasses.dataclass(frozen=True)
class Release:
    """name: the manifest's, or the file's if it has none; its version is then None."""

    name: str
    version: int | None
    digest: str

    @property
    def folder(self) -> str:
        return self.digest[:16]

    def __str__(self) -> str:
        version = "" if self.version is None else f" version {self.version}"
        return f"{self.name}{version} ({self.digest[:12]})"


def release_of(bundle: Bundle, stem: str) -> Release:
    return Release(bundle.name or stem, bundle.version, bundle.digest)


@dataclasses.dataclass(frozen=True)
class Journal:
    """state: WATCHING until `now` has proved itself, then DONE. was: the release to go back to.
    before: what was `was` before. figures: of the check."""

    state: str = DONE
    now: Release | None = None
    was: Release | None = None
    before: Release | None = None
    result: str = ""
    why: str | None = None
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    when: str = ""

    def past(self, current: Release | None) -> Release | None:
        """The release before the one that the link names."""
        if current is None:
            return None
        if current == self.now:
            return self.was
        return self.before if self.state == WATCHING and current == self.was else None


class Place:
    def __init__(self, folder: Path):
        self.folder = folder
        self.link = folder / "current"
        self.journal_file = folder / "install.json"
        self.releases = folder / RELEASES
        self._new = self.releases / ".new.tmp"

    # --- what is there ---

    def current(self) -> Release | None:
        """Raises ConfigError if it is no link of ours."""
        try:
            target = str(self.link.readlink())
        except FileNotFoundError:
            return None
        except OSError as e:
            if e.errno != errno.EINVAL:
                raise
            raise ConfigError(f"{self.link} is no link; expected one to a release: move it") from e
        head, _, name = target.partition("/")
        if head != RELEASES or not FOLDER.fullmatch(name):
            raise ConfigError(
                f"{self.link} is a link to {target}; expected {RELEASES}/DIGEST: remove it"
            )
        return self.release(name)

    def release(self, name: str) -> Release:
        """If its bundle can't be read, the digest is the folder's name alone."""
        try:
            file = self.file(name)
            return release_of(read_bundle(file), file.stem)
        except BundleError:
            return Release("", None, name)

    def file(self, name: str) -> Path:
        """The bundle of a release, by the release's folder. Raises BundleError."""
        found = sorted((self.releases / name).glob("*.edge"))
        if len(found) != 1:
            raise BundleError(f"{self.releases / name} has no bundle any more; install it again")
        return found[0]

    def names(self) -> list[str]:
        """The folders of all releases, the newest first."""
        found = [
            p
            for p in (self.releases.iterdir() if self.releases.is_dir() else ())
            if FOLDER.fullmatch(p.name) and p.is_dir() and not p.is_symlink()
        ]
        return [p.name for p in sorted(found, key=lambda p: p.stat().st_mtime_ns, reverse=True)]

    def journal(self) -> Journal:
        """An empty one if there is none, or if it is damaged."""
        try:
            values = unsealed_json(self.journal_file.read_bytes())
            for key in ("now", "was", "before"):
                values[key] = values[key] and Release(**values[key])
            return Journal(**values)
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return Journal()

    # --- changes, one process at a time ---

    def write(self, journal: Journal) -> None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        values = dataclasses.asdict(dataclasses.replace(journal, when=when))
        with atomic_write(self.journal_file) as file:
            file.write(sealed_json(values))

    def receive(self, sent: Sent) -> Path:
        """Write it where it is no release yet -> the bundle's file. Raises OSError."""
        self._new.mkdir(parents=True)
        file = self._new / f"{sent.stem}.edge"
        for path, data in ((file, sent.bundle), (signature_of(file), sent.signature)):
            if data is not None:
                with path.open("xb") as out:
                    out.write(data)
                    out.flush()
                    os.fsync(out.fileno())
        sync_folder(self._new)
        return file

    def name(self, stem: str, current: Release | None) -> None:
        """What was received is named as the current release, or `stem` if there is none: a service
        reads the same name again."""
        if current is not None:
            with contextlib.suppress(BundleError):
                stem = self.file(current.folder).stem
        file = next(self._new.glob("*.edge"))
        for old in (signature_of(file), file):
            if old.exists():
                old.rename(self._new / f"{stem}{old.name[len(file.stem) :]}")
        sync_folder(self._new)

    def take(self, name: str, current: str | None) -> None:
        """What was received becomes a release. If it is the current one, its files are replaced,
        each by a rename: the bundle is the same, and its signature may be another."""
        target = self.releases / name
        if name == current:
            for file in sorted(self._new.iterdir()):
                file.replace(target / file.name)
            sync_folder(target)
            return
        if target.exists():
            self._remove(target)
        self._new.rename(target)
        sync_folder(self.releases)

    def swap(self, name: str | None) -> None:
        """`current` becomes a link to a release. None: it is removed."""
        if name is None:
            self.link.unlink(missing_ok=True)
        else:
            new = self.folder / ".current.tmp"
            new.symlink_to(f"{RELEASES}/{name}")
            new.replace(self.link)
        sync_folder(self.folder)

    def keep(self, most: int, needed: Collection[str]) -> None:
        """Remove all releases but the needed ones and the newest, `most` in all."""
        others = [name for name in self.names() if name not in needed]
        for name in others[max(most - len(needed), 0) :]:
            self._remove(self.releases / name)

    def _remove(self, release: Path) -> None:
        """It loses its name first: what is half removed is no release."""
        half = release.with_name(f".{release.name}.tmp")
        release.rename(half)
        shutil.rmtree(half)

    def clean(self) -> None:
        """Remove what a call left half made."""
        (self.folder / ".current.tmp").unlink(missing_ok=True)
        for left in self.folder.glob(f".{self.journal_file.name}.*.tmp"):
            left.unlink()
        for left in self.releases.glob(".*.tmp"):
            if left == self._new or FOLDER.fullmatch(left.name[1:-4]):
                shutil.rmtree(left)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Place]:
    """The folder, which no other process changes meanwhile. It is made if it is not there.

    A folder that stays empty is removed again. Raises ConfigError and OSError.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--to is the file {folder}; expected a folder")
    check_folder_writable(folder, "install")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(folder)
    with one_at_a_time(folder, ConfigError):
        place.clean()
        try:
            yield place
        finally:
            place.clean()
            with contextlib.suppress(OSError):
                place.releases.rmdir()
                if made:
                    folder.rmdir()
