"""The public names: those that the three packages list, and their public methods."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

PACKAGES = ("edge_lstm", "edge_lstm_runtime", "edge_lstm_export")


class Public(NamedTuple):
    """where: "edge_lstm.Run.predict". owner: the class that has it, None for a name itself."""

    where: str
    thing: Any
    owner: Any = None

    @property
    def docstring(self) -> str:
        """Its own, "" if it has none. A class inherits its parent's, which is not its own."""
        own = vars(self.thing).get("__doc__") if inspect.isclass(self.thing) else None
        return inspect.cleandoc((own if inspect.isclass(self.thing) else self.thing.__doc__) or "")

    @property
    def annotations(self) -> dict[str, str]:
        return {
            name: str(kind) for name, kind in getattr(self.thing, "__annotations__", {}).items()
        }


def names() -> Iterator[Public]:
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            if name != "__version__":
                yield Public(f"{package}.{name}", getattr(module, name))


def methods(of: Public) -> Iterator[Public]:
    """The methods and properties that the class defines itself."""
    if not inspect.isclass(of.thing):
        return
    for name, member in vars(of.thing).items():
        if name.startswith("_") or not _callable(member):
            continue
        yield Public(f"{of.where}.{name}", _function(member), of.thing)


def _callable(member: Any) -> bool:
    kinds = (property, classmethod, staticmethod, functools.cached_property)
    return inspect.isfunction(member) or isinstance(member, kinds)


def _function(member: Any) -> Any:
    if isinstance(member, property):
        return member.fget
    if isinstance(member, functools.cached_property):
        return member.func
    return getattr(member, "__func__", member)
