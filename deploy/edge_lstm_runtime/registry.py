"""Kinds of things that are found and not listed: one file for each, or a plug-in of another package.

A built-in member is a module of the kind's folder that has the kind's attribute: `LAYER` in
`layers/gru.py` is the layer type "gru". A plug-in is an entry point of the kind's group; it names
the object itself. Plug-ins are asked for only if a name is not built in: that takes 15 ms.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any, Generic, TypeVar, cast

from .errors import BackendUnavailableError, EdgeLstmError, MissingDependencyError

T = TypeVar("T")


class Registry(Generic[T]):
    """The members of one kind, by name: the file's name, with "-" for "_" if `dash`."""

    def __init__(
        self, package: str, group: str, kind: str, attribute: str, *, dash: bool = False
    ) -> None:
        """package: of the folder. kind: for messages, such as "layer type"."""
        self._package = package
        self._group = group
        self._kind = kind
        self._attribute = attribute
        self._dash = dash

    @functools.cached_property
    def _files(self) -> list[str]:
        folder = importlib.import_module(self._package).__path__
        return sorted(found.name for found in pkgutil.iter_modules(folder))

    def _built_in(self, name: str) -> T | None:
        file = name.replace("-", "_") if self._dash else name
        if file not in self._files:
            return None
        module = importlib.import_module(f"{self._package}.{file}")
        return cast("T | None", getattr(module, self._attribute, None))

    def _plug_ins(self) -> dict[str, Any]:
        from importlib.metadata import entry_points  # slow to import

        return {point.name: point for point in entry_points(group=self._group)}

    def names(self) -> list[str]:
        """Every member, plug-ins included, whether or not it can be used here."""
        files = [f.replace("_", "-") if self._dash else f for f in self._files]
        own = [name for name in files if self._built_in(name) is not None]
        return sorted({*own, *self._plug_ins()})

    def __contains__(self, name: str) -> bool:
        return self._built_in(name) is not None or name in self._plug_ins()

    def load(self, name: str, error: type[EdgeLstmError] = EdgeLstmError) -> T:
        """The member. Raises `error` for an unknown name, BackendUnavailableError if it can't load."""
        if (member := self._built_in(name)) is not None:
            return member
        point = self._plug_ins().get(name)
        if point is None:
            known = ", ".join(self.names())
            raise error(f"unknown {self._kind} {name!r}; known here: {known}")
        try:
            return cast("T", point.load())
        except (ImportError, MissingDependencyError) as e:
            raise BackendUnavailableError(f"{self._kind} {name!r} can't be loaded: {e}") from e
