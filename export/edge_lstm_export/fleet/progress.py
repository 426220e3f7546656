"""How a rollout goes, on standard error: on a terminal a line for each board, else line by line."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from edge_lstm_runtime.shown import in_a_line

from .hosts import Host
from .rollout import Found

UP = "\x1b[{}F"  # the cursor goes up so many lines
CLEAR = "\x1b[J"  # from the cursor to the end


class Progress:
    """A `Watcher`. It is told names and steps that are in one line each.

    quiet: tell nothing but what becomes of a signal.
    """

    def __init__(self, hosts: Sequence[Host], *, quiet: bool = False):
        self._quiet = quiet
        self._width = max(len(in_a_line(host.name)) for host in hosts)
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._live: dict[str, str] = {}
        self._drawn = 0

    def step(self, host: str, step: str) -> None:
        if self._quiet:
            return
        if not self._terminal:
            self._print(self._line(host, step))
            return
        self._live[host] = step
        self._draw("")

    def done(self, host: str, found: Found) -> None:
        self._live.pop(host, None)
        if not self._quiet:
            self.say(self._line(host, str(found)))

    def say(self, line: str) -> None:
        if self._terminal:
            self._draw(f"{in_a_line(line)}\n")
        else:
            self._print(line)

    def _line(self, host: str, text: str) -> str:
        return f"{in_a_line(host):<{self._width}}  {text}"

    def _print(self, line: str) -> None:
        sys.stderr.write(f"{in_a_line(line)}\n")
        sys.stderr.flush()

    def _draw(self, above: str) -> None:
        """Replace the lines of the boards that are under way, below what stays."""
        columns, rows = _size()
        lines = [self._line(host, step) for host, step in self._live.items()][: rows - 2]
        back = UP.format(self._drawn) if self._drawn else ""
        live = "".join(f"{line[: columns - 1]}\n" for line in lines)
        out = getattr(sys.stderr, "terminal", sys.stderr)
        out.write(f"{back}{CLEAR}{above}{live}")
        out.flush()
        self._drawn = len(lines)


def _size() -> tuple[int, int]:
    with contextlib.suppress(OSError, ValueError):
        size = os.get_terminal_size(sys.stderr.fileno())
        if size.columns > 1 and size.lines > 3:
            return size.columns, size.lines
    return 80, 24
