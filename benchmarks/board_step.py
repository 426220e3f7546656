"""One peer's steps in the emulated board's Python, marked for board_counts.c.

    python board_step.py PEER HIDDEN WAY STEPS

Prints one JSON object: the way's name, how many ways the peer has, and its largest error against
the float64 reference. `board_counts.py` runs it.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import numpy as np
import peers

from edge_lstm_runtime import Reference

MARK = 0x5E1  # as in board_counts.c
RANGE = 1
BEGIN = 2
END = 3
WARM = 20  # steps
FOLDERS = {  # of the code that counts
    "native": "/edge_lstm_runtime/",
    "native int8": "/edge_lstm_runtime/",
    "ncnn": "/ncnn",
    "litert": "/ai_edge_litert/",
}


def mark(what: int, start: int = 0, end: int = 0) -> None:
    longs = (ctypes.c_ulong(value) for value in (MARK, what, start, end))
    ctypes.CDLL(None).syscall(*longs)


def code(folder: str) -> list[tuple[int, int]]:
    """The addresses of the code of this process's libraries in such a folder."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, rights, *_ = line.split()
        if folder in line and "x" in rights:
            start, end = (int(text, 16) for text in addresses.split("-"))
            found.append((start, end))
    return found


def main() -> None:
    name = sys.argv[1]
    hidden, way, steps = map(int, sys.argv[2:])
    spec, weights = peers.network(hidden, 1, 8)
    made = peers.make(name, spec, weights)
    step = list(made.values())[way]
    x = np.random.default_rng(1).standard_normal((WARM, 8)).astype(np.float32)
    answers = np.stack([step(row).copy() for row in x])
    error = float(np.abs(answers - Reference(spec, weights).run(x)).max())
    ranges = code(FOLDERS[name])
    if not ranges:
        raise SystemExit(f"board_step.py: {name} has no code in a folder {FOLDERS[name]}")
    for start, end in ranges:
        mark(RANGE, start, end)
    mark(BEGIN)
    for k in range(steps):
        step(x[k % WARM])
    mark(END)
    print(json.dumps({"way": list(made)[way], "ways": len(made), "max_abs": error}))


if __name__ == "__main__":
    main()
