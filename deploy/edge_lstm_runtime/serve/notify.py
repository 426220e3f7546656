"""Words to systemd: the service is ready, alive, reloading, stopping (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def notify(words: str) -> None:
    """Nothing happens without systemd. words: such as "READY=1"."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    if address.startswith("@"):  # of the abstract namespace
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(address)
        s.send(words.encode())


def watchdog_seconds() -> float:
    """Within how many seconds systemd wants WATCHDOG=1, 0 if it doesn't."""
    pid = os.environ.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()):
        return 0.0
    try:
        return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        return 0.0


def reloading() -> str:
    """For Type=notify-reload and for Type=notify, which knows it too."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
