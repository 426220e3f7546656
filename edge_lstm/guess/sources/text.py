"""Plain text: files that are no tables."""

from __future__ import annotations

from pathlib import Path

from edge_lstm_runtime.errors import DataError

from ..draft import Key
from ..finding import Finding, Search
from ..written import written

SOURCE = "text"
ENDINGS = (".txt", ".md", ".text")


def find(search: Search) -> Finding | None:
    files = search.place.of(ENDINGS)
    if not search.place.whole and not files:
        return None
    able = [file for file in files if file.ending == ".md" or not _is_table(file.path)]
    if not able:
        return None
    paths = [search.place.shown(file.path) for file in able]
    keys = {
        "path": Key(paths[0] if len(paths) == 1 else paths),
        "window": Key(35, "characters over which the gradient is followed back"),
    }
    return Finding(SOURCE, keys, len(able), 1 if search.place.whole else 0)


def _is_table(path: Path) -> bool:
    try:
        return written(path) is not None
    except DataError:
        return True
