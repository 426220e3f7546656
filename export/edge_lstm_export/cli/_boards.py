"""Options of the commands that reach boards."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_lstm_runtime.errors import ConfigError

from ..fleet.hosts import Host
from ..fleet.inventory import FOR_ALL, asked_hosts


def add_boards(parser: argparse.ArgumentParser, seconds: float) -> None:
    """seconds: a board's, if --timeout does not say others."""
    # argparse would take no HOST after an option, as in `deploy har.edge --to har pi@10.0.0.7`.
    vars(parser)["parse_args"] = parser.parse_intermixed_args
    parser.add_argument(
        "hosts",
        nargs="*",
        metavar="HOST",
        help="user@host, or a name in ~/.ssh/config; with --inventory a name in the file",
    )
    parser.add_argument(
        "--inventory", type=Path, metavar="FILE", help="the boards, in TOML (docs/fleet.md)"
    )
    parser.add_argument("--to", metavar="FOLDER", help="the folder of bundles on the board")
    parser.add_argument(
        "--command",
        metavar="LINE",
        help='the runtime on the board, as its shell reads it (default: "edge-lstm")',
    )
    parser.add_argument(
        "--health", metavar="URL", help="of the service on the board, as the board reaches it"
    )
    parser.add_argument("--port", type=int, metavar="N", help="ssh's, on the board")
    parser.add_argument(
        "--ssh-option",
        action="append",
        dest="ssh_options",
        metavar="KEY=VALUE",
        help="for ssh's own -o, may be repeated",
    )
    parser.add_argument(
        "--parallel", type=int, default=10, metavar="N", help="boards at a time (default: 10)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=seconds,
        metavar="S",
        help="seconds for a board (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def boards(arguments: argparse.Namespace) -> list[Host]:
    """Raises ConfigError."""
    if not 0 < arguments.timeout <= 86400:
        raise ConfigError(f"--timeout is {arguments.timeout:g}; expected seconds, up to 86400")
    at_least(arguments, ("parallel",), 1)
    given = {key: getattr(arguments, key, None) for key in FOR_ALL}
    wanted = {key: value for key, value in given.items() if value not in (None, False)}
    return asked_hosts(arguments.hosts, arguments.inventory, wanted)


def at_least(arguments: argparse.Namespace, names: Sequence[str], least: int) -> None:
    """Raises ConfigError for an option that is a lower number."""
    for name in names:
        value: Any = getattr(arguments, name)
        if value < least:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} is {value}; expected a whole number from {least}")


def end_by(number: int) -> None:
    """Take a signal that came meanwhile, as the command takes it at any other time."""
    if number:
        signal.raise_signal(number)
