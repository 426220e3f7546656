"""Print a systemd unit that keeps `edge-lstm serve` running, with as few rights as it can have."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from ..backends.artifacts import artifacts_of
from ..backends.registry import known_facts
from ..errors import ConfigError
from ..loading import load
from ..serve.models import bundles
from ..serve.unit import unit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print a unit file for systemd. The service starts with the board, starts again if it\n"
        "ends or answers nothing (a watchdog), keeps its states in /var/lib/NAME, and may touch\n"
        "nothing else. Options of `edge-lstm serve` stand behind --."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm service /opt/har.edge > edge-lstm.service\n"
        "  edge-lstm service /opt/har.edge -- --mqtt mqtt://localhost --topic 'sensors/+/raw'\n"
        "  sudo cp edge-lstm.service /etc/systemd/system/\n"
        "  sudo systemctl daemon-reload && sudo systemctl enable --now edge-lstm\n"
        "Put the bundle where every user may read it, such as /opt. `systemctl reload edge-lstm`\n"
        "takes a new one."
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle, or a folder")
    parser.add_argument(
        "--name", default="edge-lstm", metavar="NAME", help="of the service (default: %(default)s)"
    )
    parser.add_argument(
        "options",
        nargs="*",
        metavar="-- OPTIONS",
        help="of `edge-lstm serve` (default: --http 127.0.0.1:8080)",
    )


def main(arguments: argparse.Namespace) -> int:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,60}", arguments.name):
        raise ConfigError(f"--name is {arguments.name!r}; expected small letters, digits, - and _")
    models = [load(path) for path in bundles(arguments.bundle).values()]
    program = Path(sys.argv[0]).absolute()
    command = [str(program)]
    if program.suffix == ".py":
        command = [sys.executable, "-m", "edge_lstm_runtime.cli"]
    bundle = arguments.bundle.absolute()
    options = arguments.options or ["--http", "127.0.0.1:8080"]
    command += ["serve", str(bundle), *options, "--state", f"/var/lib/{arguments.name}"]
    kinds = {e["kind"] for model in models for e in artifacts_of(model.bundle, None).values()}
    runs = [facts for facts in known_facts().values() if facts and facts.artifact in kinds]
    devices = [device for facts in runs for device in facts.devices]
    home = any(str(path).startswith(("/home/", "/root/")) for path in (command[0], bundle))
    print(unit(command, arguments.name, devices=devices, home=home), end="")
    return 0
