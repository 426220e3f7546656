"""Files .ts of sequences."""

from __future__ import annotations

from ..finding import Finding, Search
from ._cases import find_cases


def find(search: Search) -> Finding | None:
    return find_cases(search, "ts", ".ts")
