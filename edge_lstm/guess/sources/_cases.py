"""Files of sequences, one for all or one for each part."""

from __future__ import annotations

from edge_lstm_runtime.errors import DataError

from ..draft import Key
from ..finding import Finding, Search
from ..names import parts


def find_cases(search: Search, source: str, ending: str) -> Finding | None:
    files = search.place.of((ending,))
    if not files:
        return None
    place = search.place
    told = parts([file.name for file in files])
    keys: dict[str, Key] = {}
    if told:
        for part in ("train", "test"):
            found = [place.shown(file.path) for file in files if told[file.name] == part]
            why = "the names of the files say so" if part == "test" else ""
            keys[f"{part}_path"] = Key(found[0] if len(found) == 1 else found, why)
    else:
        found = [place.shown(file.path) for file in files]
        keys["path"] = Key(found[0] if len(found) == 1 else found)
    if search.stated.channels:
        keys["channels"] = Key(list(search.stated.channels), "as you said")
    if search.stated.pattern is not None:
        raise DataError(f"--pattern is for a file for each recording, not for {ending} files")
    return Finding(source, keys, len(files), 2)
