"""Finding a thing by its name: a file of a folder here, or a plug-in of another package."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
import pkgutil
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, EdgeLstmError, MissingDependencyError
from .near import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclasses.dataclass(frozen=True)
class Registry:
    """All things of one kind, by name. Nothing lists them: a new file or entry point is enough.

    package  the folder, such as "edge_lstm_runtime.backends". A file or sub-package is one of the
             things if it has the attribute `marker`. Its name is the file's, with "-" for "_".
    group    the plug-ins' entry-point group: NAME = "module", a module with the same attribute.
             Plug-ins are asked only if a name is not built in, or if all names are listed.
    kind     the kind of thing in a word, for the messages
    unknown  the error for a name that nothing has
    broken   the error for a plug-in that can't be loaded
    others   further valid names, listed in the message for an unknown one
    """

    package: str
    group: str
    kind: str
    marker: str
    unknown: type[EdgeLstmError] = ConfigError
    broken: type[EdgeLstmError] = ConfigError
    others: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Every known name, sorted. A thing may still lack a package that it needs."""
        here = [name for name in self._files() if self._built_in(name)]
        return sorted({*here, *self._plug_ins()})

    def __contains__(self, name: str) -> bool:
        return bool(self._built_in(name)) or name in self._plug_ins()

    def load(self, name: str) -> Any:
        """The module of this name. Raises `unknown`, or `broken`."""
        if module := self._built_in(name):
            return module
        point = self._plug_ins().get(name)
        if point is None:
            known = [*self.others, *self.names()]
            hint = did_you_mean(name, known)
            listed = ", ".join(known)
            raise self.unknown(f"unknown {self.kind} {name!r}; {hint}known here: {listed}")
        try:
            module = importlib.import_module(point.module)
        except (ImportError, MissingDependencyError) as e:
            raise self.broken(f"{self.kind} {name!r} can't be loaded: {e}") from e
        if not hasattr(module, self.marker):
            why = f"its module {point.module} has no {self.marker}"
            raise self.broken(f"{self.kind} {name!r} can't be loaded: {why}")
        return module

    def _built_in(self, name: str) -> Any:
        if name not in (files := self._files()):
            return None
        module = importlib.import_module(f"{self.package}.{files[name]}")
        return module if hasattr(module, self.marker) else None

    def _files(self) -> dict[str, str]:
        """Name -> file or sub-package of the folder, whether it has the marker or not."""
        return _listed(tuple(importlib.import_module(self.package).__path__))

    def _plug_ins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in _entry_points(self.group, tuple(sys.path))}


@functools.lru_cache
def _listed(folders: tuple[str, ...]) -> dict[str, str]:
    """folders: a package's `__path__`. Listing them takes longer than a step, and never changes.

    A file whose name begins with "_" is none of the things.
    """
    names = (m.name for m in pkgutil.iter_modules(folders))
    return {name.replace("_", "-"): name for name in names if not name.startswith("_")}


@functools.lru_cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """path: sys.path, on which the result depends."""
    told = _told(path)
    if told is not None and f"[{group}]".encode() not in told:
        return ()
    from importlib.metadata import entry_points  # here: 15 ms and 4 MB, and few need it

    return tuple(entry_points(group=group))


@functools.lru_cache
def _told(path: tuple[str, ...]) -> bytes | None:
    """The entry points of all that is installed in folders: on a board as a rule none for us.

    None if distributions may be elsewhere too, where importlib.metadata alone finds them.
    """
    if any(hasattr(f, "find_distributions") for f in sys.meta_path if f is not PathFinder):
        return None
    texts = []
    for folder in path:
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208  (a Path for each takes longer)
        except NotADirectoryError:  # an archive
            return None
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info", "EGG-INFO")):
                with contextlib.suppress(OSError):
                    texts.append(Path(folder, name, "entry_points.txt").read_bytes())
    return b"\n".join(texts)
