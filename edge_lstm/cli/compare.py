"""Train or fit baselines on the same data: GRU, RNN, ARIMA, DTW and more, in one table."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_lstm_runtime.errors import ConfigError

from ._shared import add_changes, changes

COMPARE_DESCRIPTION = """\
Train the LSTM as `edge-lstm train` does and, on the same splits, what it should be compared with: a GRU and a plain RNN by the same
trainer; for a forecast the last value, the value a season before, ARIMA; for classes logistic regression and 1-NN DTW. One table."""


COMPARE_EPILOG = """\
examples:
  edge-lstm compare recipe:activity -o runs/compared
  edge-lstm compare my.toml -o runs/compared --resume     # after an interruption: finished rows are kept
  edge-lstm compare --agreement -o runs/agreement         # generated sentences: which cell remembers over 10 to 200 words

Written: compare.md, compare.json, compare.png, and the LSTM's run in FOLDER/lstm, which can be exported; or agreement.md, .json, .png.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = COMPARE_DESCRIPTION, COMPARE_EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "config", metavar="CONFIG.toml", type=Path, nargs="?", help="the training configuration"
    )
    parser.add_argument(
        "--agreement",
        action="store_true",
        help="instead of a configuration: a generated task with a known gap",
    )
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
    if args.agreement == (args.config is not None):
        raise ConfigError(
            f"{'both' if args.agreement else 'neither'} CONFIG.toml and --agreement given; expected one of them"
        )
    if args.agreement and (args.set or args.device):
        raise ConfigError(
            "--set and --device change a configuration, and --agreement has none; leave them out"
        )
    from ..compare import agreement, compare
    from ..config.load import load_config

    if args.agreement:
        print(agreement(args.out, resume=args.resume).markdown, end="")
        print(f"\nwritten  {args.out}/agreement.md, agreement.json, agreement.png")
    else:
        print(
            compare(load_config(args.config, changes(args)), args.out, resume=args.resume).markdown,
            end="",
        )
        print(
            f"\nwritten  {args.out}/compare.md, compare.json, compare.png; to export the LSTM: edge-lstm export {args.out}/lstm"
        )
    return 0
