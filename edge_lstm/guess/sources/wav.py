"""A folder of sound."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.feeds import wav

from ..draft import Key, Table
from ..finding import Finding, Search
from ..names import Named, by_pattern, named, parts
from ..place import File

SOURCE = "wav"
FRAME = 0.032  # seconds
HOP = 0.016
RATES = 200  # files whose rate is looked at


def find(search: Search) -> Finding | None:
    files = search.place.of((".wav",))
    if not files:
        return None
    if not search.place.whole:
        raise DataError(f"{files[0].path}: is one sound; expected a folder with a file for each")
    rates = Counter(_rate(file.path) for file in files[:: -(-len(files) // RATES)])
    rate, count = rates.most_common(1)[0]
    keys: dict[str, Key] = {"path": Key(search.place.shown(search.place.path))}
    found = _names(search, files)
    if found is not None:
        keys["pattern"] = found.pattern
    told = parts([file.name for file in files])
    if told:
        keys["test_pattern"] = Key(_test_pattern(told), "the names of files say so")
    front_end = Table(
        "front_end",
        {
            "kind": Key("log-mel"),
            "sample_rate": Key(rate, f"of {count} of {sum(rates.values())} files looked at"),
            "frame_length": Key(round(FRAME * rate), f"{1000 * FRAME:g} ms"),
            "hop_length": Key(round(HOP * rate), f"{1 / HOP:g} frames a second"),
            "n_mels": Key(40),
        },
    )
    return Finding(SOURCE, keys, len(files), 2, tables=(front_end,), step=HOP)


def _rate(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return wav.rate_of(file, str(path))
    except OSError as e:
        raise DataError(f"{path}: can't be read: {e.strerror or e}; expected a wav file") from e


def _names(search: Search, files: list[File]) -> Named | None:
    names = [file.name for file in files]
    pattern = search.stated.pattern
    if pattern is None:
        return None if search.stated.label == "none" else named(names)
    found = by_pattern(pattern, names, "as you said")
    if found is None:
        odd = next(name for name in names if by_pattern(pattern, [name], "") is None)
        raise ConfigError(f"--pattern {pattern}: the file {odd!r} doesn't match it")
    return found


def _test_pattern(told: dict[str, str]) -> str:
    """A folder, or the names themselves."""
    tops = {name.split("/")[0] for name, part in told.items() if part == "test"}
    if all("/" in name for name in told) and len(tops) == 1:
        return f"{re.escape(tops.pop())}/.*"
    return "(?i:.*test.*)"
