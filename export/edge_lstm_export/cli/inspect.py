"""Look inside a trained model: gates, memory, channels, gradients."""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path

from edge_lstm.results.run import check_is_run
from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.files import check_file_writable

GOES_ON = True  # the work is more than its output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Look inside a trained model: how its gates are distributed, what its cell remembers, "
        "how long one sample is felt, which channels\n"
        "matter (of a language model: how much context it uses), how far back the gradient "
        "reaches. One HTML page with a picture and a\n"
        "few plain sentences for each."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm inspect runs/har\n"
        "  edge-lstm inspect runs/har --input recording.csv -o har-inside.html\n"
        "  edge-lstm inspect runs/har --json > har-inside.json\n"
        "  edge-lstm inspect runs/prose --input letter.txt"
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="the folder that `edge-lstm train -o RUN` made"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE.html",
        help="the page to write (default: RUN/inspect.html)",
    )
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help="the recording on which the cell's memory is shown: CSV of the model's channels, "
        "raw units; for a language model a text (default: the longest of the test split)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the figures as one JSON object; a page is then written with -o only",
    )


def main(arguments: argparse.Namespace) -> int:
    out = arguments.out or (None if arguments.json else arguments.run / "inspect.html")
    check_is_run(arguments.run)
    if arguments.input is not None and not arguments.input.is_file():
        raise ConfigError(f"--input {arguments.input}: there is no such file; expected a recording")
    if out:
        if out.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"-o {out}: expected a name like page.html")
        try:
            check_file_writable(out)
        except OSError as e:
            raise ConfigError(f"can't write {out}: {e.strerror or e}; name another by -o") from e
    from ..insight import inspect_run  # takes seconds
    from ..insight.write_page import write_page

    inside = inspect_run(arguments.run, arguments.input)
    if out:
        write_page(inside, out)
    figures = inside.to_dict()
    if arguments.json:
        print(json.dumps(figures, allow_nan=False))
        return 0
    for look in inside.looks:
        for sentence in figures[look]["sentences"]:
            print(
                textwrap.fill(
                    sentence, 118, initial_indent=f"{look:<11}", subsequent_indent=" " * 11
                )
            )
    print(f"\npage       {out}")
    return 0
