"""Show the data of a configuration: splits, channels, classes, simple models' scores."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config.load import load_config
from ..overview.facts import overview
from ..overview.page import write_page
from ..overview.scores import Score, scores
from ..overview.words import lines
from ._shared import add_changes, add_config, changes, check_page

GOES_ON = True  # the work is more than its output
DESCRIPTION = """\
Read the data of a training configuration as `edge-lstm train` does, and print what there is: the
splits, each input's range, gaps and wild values, the classes in each split, the windows, what looks
wrong, and the scores of simple models on the test split, which a net has to beat."""

EPILOG = """\
examples:
  edge-lstm data mine.toml
  edge-lstm data mine.toml --html data.html          # the same with pictures, in one file
  edge-lstm data recipe:activity --no-scores         # without the simple models

"far off" counts values that are far from all others. "drift" is the median of the test split less
that of training, in training's standard deviations. Models that take longer than a second are rows
of edge-lstm compare."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_config(parser)
    parser.add_argument("--html", metavar="PAGE.html", type=Path, help="write a page with pictures")
    parser.add_argument(
        "--no-scores", action="store_true", help="leave the simple models out: nothing is fitted"
    )
    add_changes(parser)


def main(args: argparse.Namespace) -> int:
    page: Path | None = args.html
    check_page(page)
    found = overview(load_config(args.config, changes(args)))
    scored: list[Score] = [] if args.no_scores else scores(found)
    said = list(lines(found, scored))
    if page is not None:
        write_page(found, scored, args.config.name, page)
        said.append(f"written    {page}")
    print("\n".join(said))
    return 0
