"""Show the data of a configuration: splits, channels, classes, simple models' scores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_lstm_runtime.errors import ConfigError

from ..config.load import load_config
from ..overview.facts import overview
from ..overview.words import lines
from ._shared import add_changes, changes

DESCRIPTION = """\
Read the data of a training configuration as `edge-lstm train` does, and print what there is: the
splits, each input's range, gaps and wild values, the classes in each split, the windows, what looks
wrong, and the scores of simple models on the test split, which a net has to beat."""

EPILOG = """\
examples:
  edge-lstm data mine.toml
  edge-lstm data mine.toml --html mine.html          # the same with pictures, in one file
  edge-lstm data recipe:activity --no-scores         # without the simple models

"far off" counts values that are far from all others. "drift" is the median of the test split less
that of training, in training's standard deviations. Models that take longer than a second are rows
of edge-lstm compare."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "config",
        metavar="CONFIG.toml",
        type=Path,
        help="the training configuration; or recipe:NAME, see `edge-lstm recipes`",
    )
    parser.add_argument("--html", metavar="PAGE.html", type=Path, help="write a page with pictures")
    parser.add_argument(
        "--no-scores", action="store_true", help="leave the simple models out: nothing is fitted"
    )
    add_changes(parser)


def main(args: argparse.Namespace) -> int:
    page: Path | None = args.html
    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--html {page}: expected a name like page.html")
    if page is not None and not page.parent.is_dir():
        raise ConfigError(f"--html {page}: there is no folder {page.parent}; make it first")
    found = overview(load_config(args.config, changes(args)))
    scored: list[Any] = []
    if not args.no_scores:
        from ..overview.scores import scores  # it brings PyTorch

        scored = scores(found)
    for line in lines(found, scored):
        print(line)
    if page is not None:
        from ..overview.page import write_page

        write_page(found, scored, args.config.name, page)
        print(f"written    {page}")
    return 0
