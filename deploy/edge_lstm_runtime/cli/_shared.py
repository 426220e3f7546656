"""Helpers of the board's commands."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.artifacts import pick_artifact
from ..backends.registry import known_facts, names, refuse_artifact
from ..errors import BundleError, ConfigError
from ..feeds.source import Gate, Source
from ..feeds.stream import Line, blocks
from ..inputs import Inputs
from ..inputs.text import TextForm
from ..loading import Model, load
from ..verify.auto import choose_backend
from ..verify.check import artifacts
from ._output import Output

if TYPE_CHECKING:
    from ..model.bundle import Bundle
    from ..session import Session


class _Known:
    """The backends in words, for help. Finding them takes 35 ms, so only printed help does it."""

    def __str__(self) -> str:
        *others, last = names()
        return f"{', '.join(others)} or {last}"


def add_bundle(parser: argparse.ArgumentParser, backend: str | None = "auto") -> None:
    parser.add_argument(
        "bundle",
        type=Path,
        metavar="BUNDLE",
        help="the file that `edge-lstm export` made, NAME.edge",
    )
    add_trusted(parser)
    if backend is not None:
        first = "all of them" if backend == "all" else "auto (the fastest that is right here)"
        action = parser.add_argument(
            "--backend",
            default=backend,
            metavar="NAME",
            help=f"{first}, %(known)s (default: %(default)s)",
        )
        vars(action)["known"] = _Known()
        parser.add_argument(
            "--artifact",
            metavar="MEMBER",
            help="the converted model to run, such as rk3588-fp16.rknn, if there are several",
        )


def add_trusted(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trusted",
        type=Path,
        metavar="FILE",
        help="take no bundle but one that a key in this file has signed: an allowed_signers file "
        "of OpenSSH. The signature is BUNDLE.sig (docs/trust.md)",
    )
    parser.add_argument(
        "--remember",
        type=Path,
        metavar="FOLDER",
        help="take no bundle of a lower version than one that ran here before. FOLDER has the "
        "highest version of each model",
    )
    parser.add_argument(
        "--allow-downgrade",
        action="store_true",
        help="take a lower version all the same, with a line on standard error",
    )


def load_asked(arguments: argparse.Namespace, path: Path | None = None) -> Model:
    """The bundle that the arguments of `add_bundle` name. Raises as `load` does.

    path: of the bundle, if the argument is a folder with several.

    Its version is compared here, and remembered if the model opens a session.
    """
    if arguments.remember is None and arguments.allow_downgrade:
        raise ConfigError("--allow-downgrade is for --remember FOLDER; leave it out")
    return load(
        path or arguments.bundle,
        trusted=arguments.trusted,
        remember=arguments.remember,
        allow_downgrade=arguments.allow_downgrade,
    )


def add_save_every(parser: argparse.ArgumentParser, what: str) -> None:
    """what: is saved."""
    parser.add_argument(
        "--save-every",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help=f"save {what} so often, and at the end (default: %(default)s)",
    )


def save_every(arguments: argparse.Namespace) -> float:
    """Seconds. Raises ConfigError."""
    seconds: float = arguments.save_every
    if not seconds > 0:
        raise ConfigError(f"--save-every is {seconds}; expected seconds above 0")
    return seconds


def json_line(values: Mapping[str, Any]) -> str:
    """A JSON object and the end of its line.

    JSON has no infinity and no NaN: such a number becomes null.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(part) for part in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(values), allow_nan=False) + "\n"


@contextlib.contextmanager
def own_stdout() -> Iterator[Output]:
    """Standard output for the answers alone.

    Meanwhile, output that a vendor's library prints there goes to standard error.
    """
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # no file, as in a call from Python
        yield Output(sys.stdout)
        return
    sys.stdout.flush()
    saved = os.dup(descriptor)
    os.dup2(2, descriptor)
    try:
        with open(saved, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as out:
            yield Output(out)
    finally:
        # The buffers of Python and of the C library would otherwise be printed after the answers.
        sys.stdout.flush()
        with contextlib.suppress(Exception):
            import ctypes

            ctypes.CDLL(None).fflush(None)
        os.dup2(saved, descriptor)
        os.close(saved)


def members(bundle: Bundle, backend: str, artifact: str | None) -> Iterator[tuple[str, str | None]]:
    """The pairs of backend and converted model that a backend's name stands for.

    These are all converted models that the backend can run, or `artifact` alone if it is given.
    A backend that runs none has None. "all" and "auto" stand for every backend but the reference.
    Raises BackendUnavailableError for an artifact that the bundle does not have.
    """

    wanted = [backend]
    if backend in ("all", "auto"):
        if artifact is not None:
            pick_artifact(bundle, None, artifact)
        wanted = [
            name for name, facts in known_facts().items() if facts is None or not facts.is_reference
        ]
    else:
        refuse_artifact(backend, artifact)
    for name in wanted:
        for member in artifacts(bundle, name, artifact):
            yield name, member


def open_named(model: Model, backend: str, artifact: str | None) -> Session:
    """As Model.session. If "auto" takes no converted model, standard error says why, and what
    failed."""

    if backend != "auto":
        return model.session(backend, artifact=artifact)
    choice = choose_backend(model.bundle, artifact=artifact)
    for reason in choice.passed_over:
        print(f"edge-lstm: runs on {choice.name}; {reason}", file=sys.stderr)
    return model._opened(choice.backend)


def add_text_form(parser: argparse.ArgumentParser) -> None:
    told = "of the lines (default: that of the file that the model was trained on)"
    parser.add_argument("--separator", metavar="C", help=f"the sign between the numbers {told}")
    parser.add_argument("--decimal", choices=(".", ","), help=f"the decimal mark {told}")


def text_form(inputs: Inputs, arguments: argparse.Namespace) -> TextForm:
    """The form of lines, as the bundle and the options say. Raises ConfigError."""
    given = {key: getattr(arguments, key) for key in ("separator", "decimal")}
    keys = {key: value for key, value in given.items() if value is not None}
    if keys.get("separator") == "\\t":
        keys["separator"] = "\t"
    if keys.get("separator") == "," and "decimal" not in keys:
        keys["decimal"] = "."
    try:
        return dataclasses.replace(inputs.text, **keys)
    except BundleError as e:
        raise ConfigError(f"--separator, --decimal: {e}") from e


@contextlib.contextmanager
def text_blocks(
    name: str, form: TextForm, *, reopen: bool = False, gate: Gate | None = None
) -> Iterator[Iterator[list[Line]]]:
    """The lines of a file or, if the name is "-", of standard input: all that are there, each time.

    Raises ConfigError. reopen, gate: see Source.
    """
    with Source(name, reopen=reopen, gate=gate) as source:
        yield _decoded(source, form, gate)


def _decoded(source: Source, form: TextForm, gate: Gate | None) -> Iterator[list[Line]]:
    try:
        yield from blocks(source.chunks(), form, gate)
    except UnicodeError as e:
        raise source.error(e) from e
