"""NASA's turbofan files, by their names."""

from __future__ import annotations

import re

import numpy as np

from edge_lstm_runtime.inputs.text import TextForm

from ...data.read_text import read_table
from ...data.sources.cmapss import COLUMNS, LIFE
from ...data.table import Wanted
from ..draft import Key
from ..finding import Finding, Search

SOURCE = "cmapss"
_NAME = re.compile(r"(?:.*/)?(train|test|RUL)_(FD\d+)")


def find(search: Search) -> Finding | None:
    sets: dict[str, dict[str, str]] = {}
    paths = {}
    for file in search.place.of((".txt",)):
        if match := _NAME.fullmatch(file.name):
            sets.setdefault(match[2], {})[match[1]] = search.place.shown(file.path)
            paths[match[2], match[1]] = file.path
    whole = [name for name, files in sorted(sets.items()) if len(files) == 3]
    if not whole:
        return None
    name = whole[0]
    found = sets[name]
    sensors = [column for column in COLUMNS if column.startswith("sensor")]
    form = TextForm(separator=" ", columns=COLUMNS)
    table = read_table(paths[name, "train"], form, Wanted(dict.fromkeys(sensors, "")))
    spreads = {column: np.ptp(table.numbers[column]) for column in sensors}
    few = [c for c in sensors if len(np.unique(table.numbers[c])) > 2 and spreads[c] > 0]
    others = f" ({len(whole)} sets are there: this is the first)" if len(whole) > 1 else ""
    keys = {
        "train_path": Key(found["train"], f"the set {name}{others}"),
        "test_path": Key(found["test"]),
        "rul": Key(found["RUL"], "the life left to each test engine"),
        "channels": Key(few, "the sensors that change"),
    }
    target = (LIFE, "what these files are for")
    return Finding(SOURCE, keys, 3, 9, target=target)
