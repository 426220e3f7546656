"""The converter's processes of one export, which end together if it is interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from edge_lstm_runtime import ConversionError

AT_ONCE = max(1, min(4, os.cpu_count() or 1))  # conversions side by side, each in its own process
STOPPED = "the export was stopped"
Given = TypeVar("Given")
Result = TypeVar("Result")


class Batch:
    """After `end` no further process starts. ended: whether that is so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self.ended = False

    def start(self, command: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        """As Popen. Raises ConversionError after `end`."""
        with self._lock:
            if self.ended:
                raise ConversionError(STOPPED)
            process = subprocess.Popen(command, **options)
            self._running = [p for p in self._running if p.returncode is None] + [process]
            return process

    def end(self) -> None:
        """Other threads may be waiting for the processes."""
        with self._lock:
            self.ended = True
            for process in self._running:
                end_group(process)

    def side_by_side(
        self, action: Callable[[Given], Result], given: Iterable[Given]
    ) -> list[Result]:
        """The results, in order. If an action raises, or if this is interrupted, all processes end
        and nothing is waited for."""
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            futures = [pool.submit(action, one) for one in given]
            # In short waits: polars handles SIGINT by SA_RESTART, with which it ends no long one.
            while waiting := wait(futures, 0.1, FIRST_EXCEPTION).not_done:
                for future in set(futures) - waiting:
                    future.result()  # raises what the action raised
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            self.end()
            raise
        finally:
            pool.shutdown()


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its children. It leads a group of its own."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
