"""Train or fit baselines on the same data: GRU, RNN, ARIMA, DTW and more, in one table."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import NoReturn

from edge_lstm_runtime.errors import ConfigError

from ..compare import compare
from ..config.load import load_config
from ._shared import add_changes, add_config, changes

GOES_ON = True  # the work is more than its output
COMPARE_DESCRIPTION = """\
Train the LSTM as `edge-lstm train` does and, on the same splits, what it should be compared with:
a GRU and a plain RNN by the same trainer; for a forecast the last value, the value a season
before, ARIMA, ridge regression, NLinear, DLinear and gradient boosting; for classes logistic
regression and 1-NN DTW. One table."""

COMPARE_EPILOG = """\
examples:
  edge-lstm compare recipe:activity -o runs/compared
  edge-lstm compare my.toml -o runs/compared --resume     # after an interruption

With --resume, finished rows are kept.

Written: compare.md, compare.json, compare.png, and the LSTM's run in FOLDER/lstm, which can be
exported.
"""


class _Moved(argparse.Action):
    def __call__(self, *_: object) -> NoReturn:
        where = "it is no part of the package now: run benchmarks/long_gap.py -o FOLDER"
        raise ConfigError(f"--agreement: {where}, in the project's repository")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = COMPARE_DESCRIPTION
    parser.epilog = COMPARE_EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_config(parser, "the training configuration")
    parser.add_argument("--agreement", action=_Moved, nargs=0, help=argparse.SUPPRESS)
    parser.add_argument(
        "-o",
        "--out",
        metavar="FOLDER",
        type=Path,
        required=True,
        help="the folder to write; must not hold a comparison yet",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the interrupted comparison in FOLDER"
    )
    add_changes(parser)


def main(args: argparse.Namespace) -> int:
    config = load_config(args.config, changes(args))
    print(compare(config, args.out, resume=args.resume).markdown, end="")
    print(
        f"\nwritten  {args.out}/compare.md, compare.json, compare.png; "
        f"to export the LSTM: edge-lstm export {shlex.quote(f'{args.out}/lstm')}"
    )
    return 0
