"""What the trainer's commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.files import check_file_writable

from ..config.load import toml_value

RECIPE = "the training configuration; or recipe:NAME, see `edge-lstm recipes`"


def add_config(parser: argparse.ArgumentParser, words: str = RECIPE) -> None:
    parser.add_argument("config", metavar="CONFIG.toml", type=Path, help=words)


def add_changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change a value of the file (train.epochs=5); may be repeated",
    )
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda", "auto"],
        help="where to train; short for --set train.accelerator=...",
    )


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """The values of --set and --device, as `load_config` takes them."""
    changes = dict(_parse(text) for text in args.set)
    if args.device:
        changes["train.accelerator"] = args.device
    return changes


def check_page(page: Path | None) -> None:
    """Of --html, before anything is read. Raises ConfigError for its name, OSError for a place."""
    if page is None:
        return
    if page.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--html {page}: expected a name like page.html")
    check_file_writable(page)


def _parse(text: str) -> tuple[str, Any]:
    """ "train.epochs=3" -> ("train.epochs", 3)."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: expected KEY=VALUE, such as train.epochs=5")
    return key.strip(), toml_value(value)
