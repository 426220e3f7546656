"""What a rule of `lint` is, and what it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

Places = Iterator[tuple[str, str]]  # message and advice


@dataclasses.dataclass(frozen=True)
class Finding:
    rule: str
    level: str  # "error" or "warning"
    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.level}: {self.rule}: {self.message}; {self.advice}"


@dataclasses.dataclass(frozen=True)
class Rule:
    """check: takes what its vendor looks at, and yields each place that breaks the rule. Its
    docstring is the rule's documentation."""

    level: str
    check: Callable[[Any], Places]

    @property
    def doc(self) -> str:
        return " ".join((self.check.__doc__ or "").split())
