"""List the training runs below a folder: data, size, metric, speed."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from edge_lstm_runtime.cli._shared import json_line
from edge_lstm_runtime.errors import ConfigError, EdgeLstmError
from edge_lstm_runtime.files import atomic_write, failure

from ..runs import speed
from ..runs.found import Found, look
from ..runs.page import page
from ..runs.table import COLUMNS, as_json, ordered, text
from ._shared import check_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the finished training runs below a folder: data, task, size, the metric on the test\n"
        "split with its 95 % interval if it has one, microseconds of a step, seed, date, epochs.\n"
        "The microseconds are of the last `edge-lstm export` of a run, on its machine, by the\n"
        "backend that it recommended. Folders without a finished run are named on standard error."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm runs\n"
        "  edge-lstm runs runs --sort metric --html runs.html\n"
        "  edge-lstm runs runs --time --json"
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="where to look (default: runs/, or the current folder if there is none)",
    )
    parser.add_argument(
        "--sort",
        choices=list(COLUMNS),
        default="name",
        metavar="COLUMN",
        help=f"one of {', '.join(COLUMNS)}; the best metric and the newest date are first "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--time",
        action="store_true",
        help="measure the step of each run here and now, with the native kernel if it takes the "
        "network; it reads the run's data",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for each run")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="PAGE.html",
        help="write a page too: the table, the curves over each other, where the configurations "
        "differ",
    )


def main(arguments: argparse.Namespace) -> int:
    folder = arguments.folder
    if folder is None:
        folder = Path("runs") if Path("runs").is_dir() else Path()
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder; name one that holds runs")
    check_page(arguments.html)
    looked = look(folder)
    for line in looked.troubles:
        print(line, file=sys.stderr)
    if not looked.found:
        print(
            f"{folder}: there is no finished run; `edge-lstm train` makes one, and FOLDER says "
            "where to look",
            file=sys.stderr,
        )
    found = [_timed(one) for one in looked.found] if arguments.time else looked.found
    rows = ordered(found, arguments.sort)
    if arguments.json:
        for one in rows:
            sys.stdout.write(json_line(as_json(one)))
    elif rows:
        sys.stdout.write(text(rows))
    if arguments.html is not None and rows:
        title = f"Runs in {folder.resolve().name}"
        try:
            with atomic_write(arguments.html) as file:
                file.write(page(title, rows, looked.troubles).encode())
        except OSError as e:
            raise ConfigError(f"{arguments.html}: can't be written: {failure(e)}") from e
        print(f"written    {arguments.html}", file=sys.stderr)
    return 0 if rows else 1


def _timed(one: Found) -> Found:
    try:
        us, backend = speed.measure(Path(one.path))
    except EdgeLstmError as e:
        print(f"{one.name}: not timed: {e}", file=sys.stderr)
        return dataclasses.replace(one, us=None, backend=None)
    return dataclasses.replace(one, us=us, backend=backend)
