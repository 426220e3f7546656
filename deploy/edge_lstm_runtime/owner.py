"""The thread that uses a session.

Two threads would mix up the state of one stream, and overwrite each other's answers. So a session
belongs to the first thread that uses it, until that thread hands it over or ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import get_ident

from .backends.base import CLOSED
from .errors import BackendError


class Owner:
    """ident: of the thread, 0 for none. A fast path compares it with `get_ident()`."""

    __slots__ = ("_closed", "_lock", "_told", "ident")

    def __init__(self) -> None:
        self.ident = 0
        self._told: Callable[[int], None] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def check(self) -> None:
        """Take the session if no other thread has it.

        Raises BackendError if another thread has it, or if it is closed.
        """
        if self.ident == get_ident():
            return
        with self._lock:
            if self._closed:
                raise BackendError(CLOSED)
            if self.ident and (name := _alive(self.ident)) is not None:
                raise BackendError(
                    f"this session is used by the thread {name!r}: two threads would mix up its "
                    "state; open a session for each, or call hand_over() in that thread first"
                )
            threading.current_thread()  # so that a thread from outside of Python is listed too
            self._set(get_ident())

    def leave(self) -> None:
        """The next thread that comes may have it. Raises BackendError as `check` does."""
        self.check()
        self._set(0)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._set(0)

    def _set(self, ident: int) -> None:
        self.ident = ident
        if self._told is not None:
            self._told(ident)

    def tell(self, told: Callable[[int], None]) -> None:
        """Call this with `ident` now and after every change."""
        self._told = told
        told(self.ident)


def _alive(ident: int) -> str | None:
    """The name of a thread, None if it has ended."""
    return next((t.name for t in threading.enumerate() if t.ident == ident), None)
