"""A configuration in the making: keys with their values and the reasons for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Key(NamedTuple):
    """why: the reason for the value, a comment in the file. "" if there is nothing to say."""

    value: Any
    why: str = ""


Keys = Mapping[str, Key]


@dataclasses.dataclass(frozen=True)
class Table:
    """A section of the file.

    name    such as "data.split"
    listed  whether it is one of several of that name, [[data.transforms]]
    remarks lines of comment at its top
    """

    name: str
    keys: Keys
    listed: bool = False
    remarks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Draft:
    """The sections, in the order of the file."""

    tables: tuple[Table, ...]

    def with_key(self, table: str, key: str, value: Key) -> Draft:
        """With another value of a key."""
        changed = [
            dataclasses.replace(t, keys={**t.keys, key: value}) if t.name == table else t
            for t in self.tables
        ]
        return Draft(tuple(changed))

    def without(self, names: Sequence[str]) -> Draft:
        """Without these channels, wherever they are named."""

        def kept(table: Table) -> Table | None:
            channels = table.keys.get("channels")
            if channels is None or not table.name.startswith("data"):
                return table
            rest = [name for name in channels.value if name not in names]
            keys = {**table.keys, "channels": channels._replace(value=rest)}
            return dataclasses.replace(table, keys=keys) if rest else None

        return Draft(tuple(table for t in self.tables if (table := kept(t)) is not None))

    def values(self) -> dict[str, Any]:
        """As a parsed file."""
        found: dict[str, Any] = {}
        for table in self.tables:
            *outer, name = table.name.split(".")
            place = found
            for part in outer:
                place = place.setdefault(part, {})
            values = {key: each.value for key, each in table.keys.items()}
            if table.listed:
                place.setdefault(name, []).append(values)
            else:
                place.setdefault(name, {}).update(values)
        return found
