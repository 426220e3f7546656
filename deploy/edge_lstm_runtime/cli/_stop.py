"""SIGINT and SIGTERM: the command cleans up, says so, and ends with 128 + the number."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
WORDS = "edge-lstm: stopped"


class Stop:
    """What a signal does.

    began: whether there is anything to clean up. If not, a signal ends the process at once: an
    exception in the middle of an import may be lost there, or become another one.
    code: of the command if a signal came, else 0.
    """

    def __init__(self) -> None:
        self.began = False
        self.code = 0
        self._hook = sys.unraisablehook

    def take(self, number: int, _: FrameType | None = None) -> None:
        """Raises KeyboardInterrupt, once the work has begun."""
        self.code = 128 + number
        if not self.began:
            with contextlib.suppress(OSError):
                os.write(2, f"{WORDS}\n".encode())
            os._exit(self.code)
        raise KeyboardInterrupt

    def again(self, dropped: Any) -> None:
        """If Python dropped the exception, as in a destructor, the signal comes once more."""
        if self.code and issubclass(dropped.exc_type, KeyboardInterrupt):
            signal.signal(signal.SIGALRM, lambda *_: self.take(self.code - 128))
            signal.setitimer(signal.ITIMER_REAL, 0.001)
        else:
            self._hook(dropped)


@contextlib.contextmanager
def signals() -> Iterator[Stop]:
    """Takes the signals while the block runs. One that the shell ignores stays ignored (nohup)."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python takes signals in the main thread alone
        return
    before = {n: signal.getsignal(n) for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN}
    hook = sys.unraisablehook
    for number in before:
        signal.signal(number, stop.take)
    sys.unraisablehook = stop.again
    try:
        yield stop
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
