"""Single-bit flips of a file, drawn by a seed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_lstm_runtime import EdgeLstmError

COUNT = int(os.environ.get("EDGE_LSTM_FLIPS", "200"))


def flips(whole: bytes, count: int = COUNT, seed: int = 0) -> Iterator[tuple[int, bytes]]:
    """(bit, the file with that bit inverted)"""
    for bit in random.Random(seed).choices(range(8 * len(whole)), k=count):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(damaged)


def silent(path: Path, load: Callable[[], Any], same: Callable[[Any], bool]) -> list[int]:
    """The bits whose flip in the file is loaded as other content, or is not refused in one line.

    The file is whole afterwards. load: reads it. same: whether that is what the whole file gave.
    """
    whole = path.read_bytes()
    assert same(load())
    found = []
    try:
        for bit, damaged in flips(whole):
            path.write_bytes(damaged)
            try:
                right = same(load())
            except EdgeLstmError as e:  # one line that names the file
                right = str(e).startswith(str(path)) and "\n" not in str(e)
            if not right:
                found.append(bit)
    finally:
        path.write_bytes(whole)
    return found
