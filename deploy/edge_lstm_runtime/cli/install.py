"""Put a bundle into a folder on a board: checked, swapped at once, watched, rolled back."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..install.receive import Sent, from_file, from_tar
from ..install.service import Service
from ..install.status import status
from ..install.steps import ALREADY, INSTALLED, ROLLED_BACK, Installation, Options
from ._fault import in_one_line
from ._shared import add_trusted, json_line

GOES_ON = True
STEPS = {
    "receive": "the bundle is received",
    "verify": "its signature and version are verified",
    "check": "its golden samples are answered here",
    "swap": "current is swapped",
    "reload": "the service loads it",
    "watch": "the service is watched",
    "back": "the release before is put back",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Put a bundle into a folder on this board. It is verified and checked here, and becomes\n"
        "FOLDER/current at once. The service is then told to load it, and watched. If the service\n"
        "is not healthy with it, the release before is put back, and the exit code is 1. Whatever\n"
        "ends the command, FOLDER/current is the old release or the new one, whole."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm install har.edge --to /opt/har\n"
        "  edge-lstm install har.edge --to /opt/har --trusted allowed_signers \\\n"
        "      --reload 'systemctl reload edge-lstm' --health http://127.0.0.1:8080\n"
        "  tar -c har.edge har.edge.sig | ssh board edge-lstm install - --to /opt/har\n"
        "  edge-lstm install --status --to /opt/har\n"
        "  edge-lstm install --back --to /opt/har --reload 'systemctl reload edge-lstm'"
    )
    parser.add_argument(
        "bundle",
        nargs="?",
        metavar="BUNDLE|-",
        help="the bundle, with BUNDLE.sig beside it if it is signed. -: an uncompressed tar of "
        "both on standard input",
    )
    parser.add_argument("--status", action="store_true", help="say what is there now")
    parser.add_argument("--back", action="store_true", help="go back to the release before")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="of this model, on this board"
    )
    add_trusted(parser)
    parser.add_argument(
        "--reload", metavar="COMMAND", help="makes the service load the bundle again; no shell"
    )
    parser.add_argument(
        "--health",
        metavar="URL",
        help="of `edge-lstm serve --http`: it must be ready with the new bundle",
    )
    parser.add_argument(
        "--watch",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="until it must be healthy, and then as long it must stay so (default: %(default)s)",
    )
    parser.add_argument(
        "--keep-releases",
        type=int,
        default=2,
        metavar="N",
        help="that stay, the current one included (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print each step as a JSON object")


def main(arguments: argparse.Namespace) -> int:
    if arguments.status:
        return _status(arguments)
    told = _Told(arguments.json)
    with _hang_ups():
        return told.end(arguments)


class _Told:
    def __init__(self, as_json: bool):
        self._json = as_json

    def end(self, arguments: argparse.Namespace) -> int:
        """The work, and its last line."""
        installation = None
        try:
            installation = Installation(_options(arguments), self._step, _reason)
            if arguments.back:
                installation.back()
            else:
                installation.install(_receiver(arguments.bundle))
        except BaseException as e:
            found = installation or Installation(Options(Path(), Service()), self._step, _reason)
            found.why = found.why or _reason(e)
            self._last(found.outcome())
            raise
        outcome = installation.outcome()
        self._last(outcome)
        return 0 if outcome["result"] in (INSTALLED, ALREADY) else 1

    def _step(self, step: str) -> None:
        self._write(json_line({"step": step}) if self._json else f"{step}: {STEPS[step]}\n")

    def _last(self, outcome: dict[str, Any]) -> None:
        if self._json:
            self._write(json_line(outcome))
        elif outcome["result"] in (INSTALLED, ALREADY):
            figures = (
                f"{outcome['backend']}, NRMSE {outcome['nrmse']:.1e}, "
                f"p50 {outcome['p50_us']} us, p99 {outcome['p99_us']} us a step"
            )
            self._write(f"{outcome['result']}: {_named(outcome)}, {figures}\n")
        elif outcome["result"] == ROLLED_BACK:
            to = _named(outcome["was"]) if outcome["was"] else "nothing, as before"
            self._write(f"rolled back to {to}: {outcome['why']}\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _options(arguments: argparse.Namespace) -> Options:
    """Raises ConfigError."""
    if arguments.back and arguments.bundle is not None:
        raise ConfigError("--back takes no bundle: it goes to the release before")
    return Options(
        arguments.to,
        _service(arguments),
        trusted=arguments.trusted,
        remember=arguments.remember,
        older=arguments.allow_downgrade,
        keep=arguments.keep_releases,
    )


def _service(arguments: argparse.Namespace) -> Service:
    """Raises ConfigError."""
    words: tuple[str, ...] = ()
    if arguments.reload is not None:
        try:
            words = tuple(shlex.split(arguments.reload))
        except ValueError as e:
            raise ConfigError(f"--reload is {arguments.reload!r}: {e}") from e
        if not words:
            raise ConfigError("--reload is empty; expected a command")
    return Service(words, arguments.health or "", arguments.watch)


def _receiver(bundle: str | None) -> Callable[[], Sent]:
    if bundle is None:
        raise ConfigError("expected a BUNDLE, or - for a tar on standard input, --status or --back")
    return (
        (lambda: from_tar(sys.stdin.buffer)) if bundle == "-" else lambda: from_file(Path(bundle))
    )


def _status(arguments: argparse.Namespace) -> int:
    if arguments.back or arguments.bundle is not None:
        raise ConfigError("--status takes no bundle and no --back: it changes nothing")
    found, wrong = status(arguments.to, _service(arguments))
    if arguments.json:
        sys.stdout.write(json_line(found))
        return 1 if wrong else 0
    if found["digest"]:
        sys.stdout.write(f"current: {_named(found)}, {found['backend'] or 'not checked'}\n")
    for release in found["releases"]:
        sys.stdout.write(f"release: {_named(release)}\n")
    if found["ready"] is not None:
        serving = f"serves {found['serving'][:12]}" if found["serving"] else "serves no bundle"
        sys.stdout.write(f"service: {'ready' if found['ready'] else 'not ready'}, {serving}\n")
    if found["why"]:
        sys.stdout.write(f"{found['why']}\n")
    return 1 if wrong else 0


def _named(found: dict[str, Any]) -> str:
    version = "" if found["version"] is None else f" version {found['version']}"
    return f"{found['name']}{version} ({found['digest'][:12]})"


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped by a signal"
    return in_one_line(error) or f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _hang_ups() -> Iterator[None]:
    """A terminal that goes away ends nothing. A program that is started is ended as usual."""
    before = signal.getsignal(signal.SIGHUP)
    if before != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGHUP, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
