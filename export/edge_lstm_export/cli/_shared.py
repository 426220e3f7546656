"""Shared by the exporter's commands."""

from __future__ import annotations

import argparse
import sys

from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.near import did_you_mean

from ..npu.targets import targets

C = "c"  # the one target that isn't an NPU


def check_target(name: str) -> None:
    """Raise ConfigError for one that is neither an NPU nor C source."""
    known = [*targets(), C]
    if name not in known:
        raise ConfigError(
            f"there is no target {name!r}; {did_you_mean(name, known)}known: {', '.join(known)} "
            f"({C}: C source for any other board, a microcontroller too)"
        )


def add_named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="the model's name, for the manifest, with --version: letters, digits, dots, - and _",
    )
    parser.add_argument(
        "--version",
        type=int,
        metavar="N",
        help="the model's version, a whole number from 1. Give each new bundle of the model a "
        "higher one: a board with --remember refuses a lower one (docs/trust.md)",
    )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
