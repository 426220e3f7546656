"""Prints the figures of real boards: the files of `edge-lstm bench --json` in benchmarks/boards/.

A file that is another, damaged, or made under an emulator is named in one line, and the program
then ends with 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("boards")
FORMAT = 1  # of edge_lstm_runtime.verify.stated
MADE_BY = "expected the output of `edge-lstm bench BUNDLE --json`"
TEXT = ("backend", "net", "date", "machine", "board", "system")
NUMBERS = ("p50_us", "p99_us", "run_per_second")
LISTS = ("cpu", "features", "kernels")
Row = dict[str, Any]


class FileError(Exception):
    """The file has no figures of a board. The message says why."""


def read(path: Path) -> list[Row]:
    """Its rows. Raises FileError."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        reason = getattr(e, "strerror", None) or "it is not UTF-8"
        raise FileError(f"can't be read ({reason}); {MADE_BY}") from e
    rows = [_row(line, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise FileError(f"is empty; {MADE_BY}")
    return rows


def _row(line: str, number: int) -> Row:
    try:
        row = json.loads(line)
    except ValueError as e:
        raise FileError(f"line {number} is not JSON; {MADE_BY}") from e
    if not isinstance(row, dict) or row.get("format") != FORMAT:
        raise FileError(f"line {number} is not of format {FORMAT}; {MADE_BY} of this version")
    kinds = [(key, str) for key in TEXT] + [(key, list) for key in LISTS]
    wrong = [key for key, kind in kinds if not isinstance(row.get(key), kind)]
    wrong += [key for key in NUMBERS if not _is_number(row.get(key))]
    bundle = row.get("bundle")
    if not isinstance(bundle, dict) or len(str(bundle.get("sha256", ""))) != 64:
        wrong.append("bundle")
    if wrong:
        raise FileError(f"line {number} has no {wrong[0]}, or a wrong one; {MADE_BY}")
    if row["machine"] not in ("x86_64", "AMD64") and "sse2" in row["features"]:
        raise FileError(f"line {number} is of an emulator: {row['machine']} on an x86 CPU")
    return row


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def table(rows: Iterable[tuple[str, Row]]) -> str:
    """Markdown. rows: each with the name of its file."""
    titles = ("file", "machine", "system", "kernel", "net", "bundle", "backend")
    titles += ("p50, µs", "p99, µs", "run, 1/s", "date")
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    for name, row in rows:
        machine = ", ".join(filter(None, [row["board"], *map(str, row["cpu"]), row["machine"]]))
        kernel = str(row["kernels"][0]) if row["kernels"] else "none"
        backend = f"{row['backend']}{' (a simulator)' if row.get('simulator') else ''}"
        cells = [name, machine, row["system"], kernel, row["net"], row["bundle"]["sha256"][:12]]
        cells += [backend, *(f"{row[key]:,.2f}" for key in NUMBERS[:2])]
        cells += [f"{row['run_per_second']:,.0f}", row["date"]]
        lines.append(
            f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/boards.py"
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=FOLDER, help="of .json files (default: %(default)s)"
    )
    folder = parser.parse_args(arguments).folder
    rows: list[tuple[str, Row]] = []
    failed = False
    for path in sorted(folder.glob("*.json")):
        try:
            rows += [(path.name, row) for row in read(path)]
        except FileError as e:
            failed = True
            print(f"boards.py: {path.name}: {e}", file=sys.stderr)
    print(table(rows) if rows else f"{folder} has no figures of a board yet")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
