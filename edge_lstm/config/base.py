"""The parts that every section of a configuration is made of."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from edge_lstm_runtime.registry import Registry

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]

Contradiction = tuple[tuple[str, ...], str]  # the key to blame, and what was expected


class Section(BaseModel):
    """A table of the TOML file. The docstring of each section says what its keys mean.

    FOR_TASKS  the keys that a task takes only if it has them in `USES`
    NOT_HERE   keys that one might expect here, each with the answer to it
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    FOR_TASKS: ClassVar[tuple[str, ...]] = ()
    NOT_HERE: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def elsewhere(cls, key: str, values: Mapping[str, Any]) -> str:  # noqa: ARG003
        """The answer to a `key` that isn't one of this section, "" if it is unknown everywhere.

        values: the whole file's.
        """
        return cls.NOT_HERE.get(key, "")


def listed(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The value of a key that holds one name, several or none."""
    return (value,) if isinstance(value, str) else value or ()


def belongs(kind: str, owners: list[str], name: str, what: str = "it") -> str:
    """The answer to a key of other sources or tasks, "" if there are no owners.

    kind: "source" or "task". name: the one that was chosen. what: the part to remove.
    """
    if not owners:
        return ""
    named = " and ".join(", ".join(f"{owner!r}" for owner in owners).rsplit(", ", 1))
    kinds = f"{kind}s" if len(owners) > 1 else kind
    return f"is for {kinds} {named}, and {kind} is {name!r}; remove {what}"


def with_fact(registry: Registry, fact: str) -> list[str]:
    """The sources or tasks for which a fact is true."""
    return [name for name in registry.names() if getattr(registry.load(name).Section, fact)]


def with_key(registry: Registry, key: str, section: str = "Section") -> list[str]:
    """The sources or tasks whose section has a key. section: the attribute of the module."""
    find = operator.attrgetter(section)
    return [name for name in registry.names() if key in find(registry.load(name)).model_fields]


def repeated(values: Iterable[str | int] | None) -> bool:
    values = tuple(values or ())
    return len(set(values)) < len(values)
