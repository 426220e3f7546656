"""The steps of an installation: verify, check, swap, reload, watch, and the way back."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import BundleError, ConfigError, EdgeLstmError
from ..files import atomic_write
from ..model.bundle import Bundle, read_bundle
from ..trust.versions import compare_version, remember_version, version_file
from .check import Figures, check_apart
from .place import DONE, WATCHING, Journal, Place, Release, opened, release_of
from .receive import Sent
from .service import Service, ServiceError

INSTALLED = "installed"
ALREADY = "already"
ROLLED_BACK = "rolled-back"
REFUSED = "refused"


@dataclasses.dataclass(frozen=True)
class Options:
    """trusted, remember, older: of `load`. keep: releases, the current one included."""

    folder: Path
    service: Service
    trusted: Path | None = None
    remember: Path | None = None
    older: bool = False
    keep: int = 2

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        if self.keep < 1:
            raise ConfigError(f"--keep-releases is {self.keep}; expected at least 1")
        if self.older and self.versions is None:
            raise ConfigError("--allow-downgrade is for --remember FOLDER; leave it out")

    @property
    def signers(self) -> Path | None:
        """The file of trusted keys. A flag that is forgotten opens no door."""
        own = self.folder / "allowed_signers"
        return self.trusted or (own if os.path.lexists(own) else None)

    @property
    def versions(self) -> Path | None:
        """The folder of the highest versions, the same way."""
        own = self.folder / "versions"
        return self.remember or (own if os.path.lexists(own) else None)


class Installation:
    """One call. What it knows so far is in `outcome`, also if an error ends it.

    say: is called with each step as it begins. reason: an error in one line.
    """

    def __init__(
        self, options: Options, say: Callable[[str], None], reason: Callable[[BaseException], str]
    ):
        self._options = options
        self._say = say
        self._reason = reason
        self._file: Path | None = None  # of the highest version, and what it was
        self._remembered: bytes | None = None
        self._backward = False
        self._step = ""
        self.result = REFUSED
        self.why: str | None = None
        self.release: Release | None = None
        self.was: Release | None = None
        self.figures: Figures | None = None

    def outcome(self) -> dict[str, Any]:
        release = dataclasses.asdict(self.release or Release("", None, ""))
        figures = dataclasses.asdict(self.figures) if self.figures else {}
        return {
            "result": self.result,
            **{key: value or None for key, value in release.items()},
            "was": self.was and dataclasses.asdict(self.was),
            **{key: figures.get(key) for key in ("backend", "p50_us", "p99_us", "nrmse")},
            "step": self._step,
            "why": self.why,
        }

    def install(self, receive: Callable[[], Sent]) -> None:
        """Raises EdgeLstmError and OSError if it is refused, and nothing was changed."""
        with self._place() as place:
            current = place.current()
            self._begin("receive")
            sent = receive()
            file = place.receive(sent)
            shown = sent.shown
            del sent  # a bundle's bytes, which are read again
            bundle = self._verify(file, shown)
            self.release = release_of(bundle, file.stem)
            self.was = current
            self._refuse_other(current, shown)
            self._check(file, bundle)
            place.name(bundle.name or file.stem, current)
            self._go_on(place, bundle, current, received=True)

    def back(self) -> None:
        """To the release before. Raises as `install`."""
        self._backward = True
        with self._place() as place:
            current = place.current()
            past = place.journal().past(current)
            if past is None or past.folder not in place.names():
                raise ConfigError(
                    f"{place.folder} has no release before the current one; install one"
                )
            self.was = current
            self.release = past
            file = place.file(past.folder)
            bundle = self._verify(file, str(file))
            if bundle.digest != past.digest:
                raise BundleError(f"{file} is not what was installed; install it again")
            self._check(file, bundle)
            self._go_on(place, bundle, current, received=False)

    @contextlib.contextmanager
    def _place(self) -> Iterator[Place]:
        with opened(self._options.folder) as place:
            try:
                yield place
            except BaseException as e:
                self.why = self.why or self._reason(e)
                raise

    def _begin(self, step: str) -> None:
        self._step = step
        self._say(step)

    def _verify(self, file: Path, shown: str) -> Bundle:
        """shown: the bundle's name in messages."""
        self._begin("verify")
        options = self._options
        try:
            bundle = read_bundle(file, trusted=options.signers)
        except EdgeLstmError as e:
            e.args = (str(e).replace(str(file), shown),)
            raise
        if options.versions is not None:
            older = options.older or self._backward
            compare_version(bundle, shown, options.versions, older=older)
            self._file = version_file(bundle, shown, options.versions)
            with contextlib.suppress(FileNotFoundError):
                self._remembered = self._file.read_bytes()
        return bundle

    def _refuse_other(self, current: Release | None, shown: str) -> None:
        new = self.release
        if current is None or current.version is None or new is None:
            return
        if new.version is None or new.name != current.name:
            named = "no name" if new.version is None else f"the name {new.name!r}"
            raise ConfigError(
                f"{shown} has {named}, and {self._options.folder} is for {current.name!r}; "
                "install it into another folder"
            )

    def _check(self, file: Path, bundle: Bundle) -> None:
        self._begin("check")
        self.figures = check_apart(file, bundle)

    def _go_on(
        self, place: Place, bundle: Bundle, current: Release | None, *, received: bool
    ) -> None:
        assert self.release is not None
        assert self.figures is not None
        release = self.release
        journal = place.journal()
        figures = dataclasses.asdict(self.figures)
        if current == release == journal.now and journal.state == DONE:
            self._remember(bundle)
            if received:
                place.take(release.folder, release.folder)
            place.write(dataclasses.replace(journal, figures=figures, why=None))
            self._tidy(place, release, journal.was)
            self.result = ALREADY
            return
        good, before = _known_good(journal, current)
        self._begin("swap")
        if received:
            place.take(release.folder, None if current is None else current.folder)
        watching = Journal(WATCHING, release, good, before, figures=figures)
        try:
            place.write(watching)
            place.swap(release.folder)
            if self._options.service.reload:
                self._begin("reload")
                self._options.service.load_again()
            if self._options.service.health:
                self._begin("watch")
                self._options.service.settle(release.digest)
                self._options.service.stay(release.digest)
            self._remember(bundle)
            place.write(dataclasses.replace(watching, state=DONE, result=INSTALLED))
        except BaseException as e:
            if place.current() == current != release:  # nothing was swapped
                with contextlib.suppress(OSError):
                    place.write(journal)
                raise
            self._return(place, watching, e)
            if not isinstance(e, Exception):
                raise
            return
        self._tidy(place, release, good)
        self.result = INSTALLED

    def _remember(self, bundle: Bundle) -> None:
        if self._options.versions is not None:
            older = self._options.older or self._backward
            remember_version(bundle, bundle.name, self._options.versions, older=older)

    def _return(self, place: Place, watching: Journal, error: BaseException) -> None:
        """Back to the release before, which is then watched until it is healthy."""
        ended = self._step
        self.result = ROLLED_BACK
        self.why = self._reason(error)
        self._begin("back")
        self._step = ended
        good = watching.was
        place.swap(None if good is None else good.folder)
        self._forget()
        if good is not None:
            try:
                self._options.service.load_again()
                if self._options.service.health:
                    self._options.service.settle(good.digest)
            except ServiceError as e:
                self.why += f"; the release before is not healthy either: {e}"
        journal = Journal(DONE, good, watching.before, result=ROLLED_BACK, why=self.why)
        with contextlib.suppress(OSError):  # the next call finds it unfinished, and goes on
            place.write(journal)
        failed = watching.now
        if failed and failed != good and not self._backward:
            place.keep(0, [name for name in place.names() if name != failed.folder])

    def _forget(self) -> None:
        """The highest version is again what it was: a service may have remembered the new one."""
        file = self._file
        if file is None:
            return
        if self._remembered is None:
            file.unlink(missing_ok=True)
        elif file.read_bytes() != self._remembered:
            with atomic_write(file) as out:
                out.write(self._remembered)

    def _tidy(self, place: Place, now: Release, was: Release | None) -> None:
        needed = [now.folder] if was is None or self._options.keep < 2 else [now.folder, was.folder]
        place.keep(self._options.keep, needed)


def _known_good(journal: Journal, current: Release | None) -> tuple[Release | None, Release | None]:
    """The release to go back to, and the one before it."""
    if (
        current is not None
        and journal.state == WATCHING
        and journal.now is not None
        and journal.now.folder == current.folder
    ):  # a call was killed while it watched this one
        return journal.was, journal.before
    return current, journal.past(current)
