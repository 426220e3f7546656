"""What a board said, as values: every type is checked, every text is escaped and cut."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from edge_lstm_runtime.shown import in_a_line

from .hosts import Host
from .ssh import Ended

RESULTS = ("installed", "already", "rolled-back", "refused")
# Of a board that did not say what became of it, beside RESULTS.
UNREACHABLE = "unreachable"
FAILED = "failed"
NOT_REACHED = "not reached"
UNDER_WAY = "under way"
SSH_FAILED = 255
NOT_FOUND = (126, 127)  # of a shell
LONGEST = 600  # characters of a text
SHORT = 64


class AnswerError(Exception):
    """A board that did not do what it was asked. The text is one line."""


@dataclasses.dataclass(frozen=True)
class Running:
    """What runs on a board, as it says. A value that it did not give is None.

    p50_us, p99_us: microseconds of a step. nrmse: against the bundle's golden answers.
    """

    name: str | None = None
    version: int | None = None
    digest: str | None = None
    backend: str | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    nrmse: float | None = None


UNKNOWN = Running()


def line_object(line: bytes, key: str) -> dict[str, Any] | None:
    """The JSON object of a line that has this key with a text, None for any other line.

    What a login script printed without an end of its line may come before the object.
    """
    start = line.find(b"{")
    while start >= 0:
        try:
            found = json.loads(line[start:])
        except (ValueError, RecursionError):
            start = line.find(b"{", start + 1) if start < SHORT * 64 else -1
            continue
        good = isinstance(found, dict) and isinstance(found.get(key), str)
        return found if good else None
    return None


def text(values: dict[str, Any], key: str, longest: int = LONGEST) -> str | None:
    """A text, or None. Raises AnswerError for another type, as do the next ones."""
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(key, value, "a text")
    shown = in_a_line(value[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def number(values: dict[str, Any], key: str) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise _wrong(key, value, "a number from 0")
    return float(value)


def whole(values: dict[str, Any], key: str) -> int | None:
    value = values.get(key)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**63:
        raise _wrong(key, value, "a whole number from 0")
    return value


def yes(values: dict[str, Any], key: str) -> bool | None:
    value = values.get(key)
    if value is not None and not isinstance(value, bool):
        raise _wrong(key, value, "true or false")
    return value


def running(values: dict[str, Any]) -> Running:
    """Raises AnswerError."""
    return Running(
        text(values, "name", SHORT),
        whole(values, "version"),
        text(values, "digest", SHORT),
        text(values, "backend", SHORT),
        number(values, "p50_us"),
        number(values, "p99_us"),
        number(values, "nrmse"),
    )


def unreachable(ended: Ended) -> bool:
    """Whether the fault is ssh's own, which it says. Of a killed program it says nothing."""
    return ended.code == SSH_FAILED and bool(ended.said)


def no_answer(host: Host, ended: Ended, *, begun: bool = False) -> AnswerError:
    """Why a board gave no answer, with what to do. begun: whether it has begun to install."""
    said = f": {ended.said}" if ended.said else ""
    command = host.command
    if ended.why:
        return AnswerError(f"{ended.why}; `edge-lstm fleet status` asks it again")
    if ended.code == SSH_FAILED:
        told = ended.said or f"the connection was lost, or `{command}` there was killed"
        if begun:
            return AnswerError(f"{told}; the board ends by itself: run the same command again")
        return AnswerError(f"{told}; try `ssh {host.address}`")
    if ended.code in NOT_FOUND:
        return AnswerError(
            f"`{command}` can't be run there{said}; install edge-lstm-runtime on the board, or "
            "name the program there by --command"
        )
    if "there is no 'install'" in ended.said:
        return AnswerError(
            f"`{command}` there is an older edge-lstm-runtime, without `install`; update it on the "
            "board"
        )
    return AnswerError(
        f"`{command}` there ended with code {ended.code} and without an answer{said}"
    )


def _wrong(key: str, value: Any, expected: str) -> AnswerError:
    shown = in_a_line(repr(value))[:SHORT]
    return AnswerError(f"its answer has {shown} as {key}, expected {expected}; update the runtime")
