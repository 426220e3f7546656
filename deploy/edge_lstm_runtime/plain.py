"""A specification's parts as the objects and lists of JSON, and back."""

from __future__ import annotations

import dataclasses
from typing import Any


def plain(value: Any) -> Any:
    """Dataclasses and tuples as objects and lists. A `to_dict` of its own comes first."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {f.name: plain(getattr(value, f.name)) for f in fields}
    return [plain(v) for v in value] if isinstance(value, tuple) else value


def changed(of: Any) -> dict[str, Any]:
    """The fields of a dataclass that don't have their default value, as JSON."""
    found = {}
    for field in dataclasses.fields(of):
        value = getattr(of, field.name)
        if value != field.default:  # MISSING, if there is none, is no value
            found[field.name] = plain(value)
    return found


def tuples(value: Any) -> Any:
    """The lists of JSON as tuples, at any depth."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value
