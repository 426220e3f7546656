"""The main thread's sleep, which ends with any signal.

The system may give a signal to any thread, and Python handles it in the main thread alone. A main
thread that waits for a lock would not notice. Python writes a byte for each signal, in the thread
that got it, so the main thread waits for bytes. No lock is taken: a handler may wake it too.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket


class Wake:
    """Made and closed in the main thread."""

    def __init__(self) -> None:
        self._woken, self._waking = socket.socketpair()
        self._woken.setblocking(False)
        self._waking.setblocking(False)
        self._before = signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)

    def set(self) -> None:
        """End the next sleep, or the present one. From any thread, or a signal's handler."""
        with contextlib.suppress(OSError):  # there are bytes enough, or nobody sleeps any more
            self._waking.send(b"\0")

    def sleep(self) -> None:
        """Until a signal comes or `set` is called."""
        select.select([self._woken], [], [])
        self._woken.recv(1 << 16)

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._woken.close()
        self._waking.close()
