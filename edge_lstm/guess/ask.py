"""Questions on a terminal, with the guess as the default. With `--yes` every guess is taken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TextIO, TypeVar

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.near import did_you_mean
from edge_lstm_runtime.shown import in_a_line

T = TypeVar("T")


class Ask:
    """yes: take every guess. lines, out: of the terminal."""

    def __init__(self, *, yes: bool, lines: TextIO | None = None, out: TextIO | None = None):
        self.yes = yes
        self._lines = lines or sys.stdin
        self._out = out or sys.stderr

    def check(self) -> None:
        """Raises ConfigError if nobody can answer."""
        if not self.yes and (self._lines is None or not self._lines.isatty()):
            raise ConfigError(
                "standard input is no terminal, so nothing can be asked; add --yes to take every "
                "guess, and state what it can't know with --task, --label, --target"
            )

    def one(self, question: str, guess: str, why: str, choices: Sequence[str]) -> str:
        """One of the choices."""

        def parse(text: str) -> str:
            if text not in choices:
                hint = did_you_mean(text, choices)
                raise ValueError(f"{hint}expected one of {', '.join(choices)}")
            return text

        return self.of(question, guess, why, parse)

    def of(self, question: str, guess: T, why: str, parse: Callable[[str], T]) -> T:
        """What is typed, parsed. parse: raises ValueError with what was expected."""
        if self.yes:
            return guess
        shown = ", ".join(map(str, guess)) if isinstance(guess, list | tuple) else guess
        while True:
            because = f" ({in_a_line(why)})" if why else ""
            print(f"{question}{because} [{in_a_line(str(shown))}]: ", end="", file=self._out)
            self._out.flush()
            line = self._lines.readline()
            if not line:
                raise ConfigError("standard input ended before all was answered; add --yes")
            if not line.strip():
                return guess
            try:
                return parse(line.strip())
            except ValueError as e:
                print(f"  {in_a_line(str(e))}", file=self._out)


def columns(known: Sequence[str]) -> Callable[[str], list[str]]:
    """A parser of names with commas between them."""

    def parse(text: str) -> list[str]:
        names = [text] if text in known else [name.strip() for name in text.split(",")]
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known)
                raise ValueError(f"there is no {name!r}; {hint}expected of {', '.join(known)}")
        return names

    return parse


def steps(text: str) -> int | list[int]:
    """A parser of a whole number, or of several ascending ones."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError("expected a whole number, such as 12, or several: 1,24") from None
    if min(found) < 1 or found != sorted(set(found)):
        raise ValueError("expected numbers from 1 on, in ascending order")
    return found[0] if len(found) == 1 else found
