"""SIGINT and SIGTERM: the command cleans up, says so, and ends with 128 + the number."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
WORDS = "edge-lstm: stopped"
PATIENCE = 1.0  # seconds for an import to end. Longer ones come before the work that is cleaned up
TOGETHER = 0.2  # seconds between signals that are one
SOON = 0.02  # seconds until a signal that had to wait comes again


class Stop:
    """What a signal does: raise KeyboardInterrupt, from which the command cleans up.

    Not in an import. An exception there may be lost, become another one, or abort the process, as
    in PyTorch's. So the signal waits for a short import to end, and in a longer one ends the
    process at once. A second signal does so too, but not one that comes with the first, as from a
    program that hands on what it got from the terminal itself.

    began: whether there is anything to clean up.
    code: of the command if a signal came, else 0.
    held: whether the first signal only sets `code`, because the command looks there itself.
    """

    def __init__(self) -> None:
        self.began = False
        self.code = 0
        self.held = False
        self._hook = sys.unraisablehook
        self._first = 0.0  # the time of the first signal

    def take(self, number: int, frame: FrameType | None = None) -> None:
        """The handler of the signals. Raises KeyboardInterrupt."""
        if self.code and time.monotonic() - self._first < TOGETHER:
            return
        second = self.code != 0
        self.code = 128 + number
        if second or not self.began:
            self._end()
        self._first = time.monotonic()
        self._now(frame)

    def dropped(self, unraisable: Any) -> None:
        """Python's hook for an exception that it drops, as one in a destructor."""
        if self.code and issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._soon()
        else:
            self._hook(unraisable)

    def _now(self, frame: FrameType | None) -> None:
        if self.held:
            return
        if not _importing(frame):
            raise KeyboardInterrupt
        if time.monotonic() - self._first > PATIENCE:
            self._end()
        self._soon()

    def _soon(self) -> None:
        signal.signal(signal.SIGALRM, lambda _, frame: self._now(frame))
        signal.setitimer(signal.ITIMER_REAL, SOON)

    def _end(self) -> NoReturn:
        with contextlib.suppress(OSError):
            os.write(2, f"{WORDS}\n".encode())
        os._exit(self.code)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


_taking: list[Stop] = []  # the innermost is the last


def taking() -> Stop:
    """What takes the signals now. One that takes none if nothing does."""
    return _taking[-1] if _taking else Stop()


@contextlib.contextmanager
def signals() -> Iterator[Stop]:
    """Takes the signals while the block runs. One that the shell ignores stays ignored (nohup)."""
    stop = Stop()
    _taking.append(stop)
    try:
        yield from _taken(stop)
    finally:
        _taking.remove(stop)


def _taken(stop: Stop) -> Iterator[Stop]:
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python takes signals in the main thread alone
        return
    before = {n: signal.getsignal(n) for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN}
    hook = sys.unraisablehook
    for number in before:
        signal.signal(number, stop.take)
    sys.unraisablehook = stop.dropped
    try:
        yield stop
    finally:
        if stop.code:  # or else its timer would end the process after the handlers are gone
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
