"""A time limit on models that may never end, such as a graph with a loop in it.

Python can't end a thread. So a backend that runs such a model is opened and checked in a thread of
its own, and the caller goes on with an error if it takes too long. The model is then asked to stop
(`Backend.interrupt`). A thread that does not stop is a daemon, which keeps no process alive.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..backends.base import Backend
from ..backends.registry import facts_of
from ..errors import BackendError, ConfigError

SECONDS = 30.0  # to open a backend, with the import of its library
STREAM_SECONDS = 0.1  # more for each stream
STEP_SECONDS = 0.01  # more for each step of each stream
GRACE = 2.0  # seconds for what is asked to stop
VARIABLE = "EDGE_LSTM_OPEN_SECONDS"  # replaces SECONDS
T = TypeVar("T")


class TookTooLongError(BackendError):
    pass


Opened = Callable[[Backend], Backend]  # to be called with a backend as soon as it is open


def within(name: str, steps: int, streams: int | None, work: Callable[[Opened], T]) -> T:
    """The result of `work`, which opens a backend of this name and runs up to so many steps.

    Raises what it raises, and TookTooLongError if it runs a model of the bundle and takes too long.
    """
    if not facts_of(name).timed:
        return work(lambda backend: backend)
    seconds = allowed(steps, streams or 1)
    call = _Call(work)
    thread = threading.Thread(target=call.run, daemon=True, name=f"opens {name}")
    thread.start()
    try:
        call.done.wait(seconds)
    finally:
        if not call.done.is_set():
            call.give_up()
            thread.join(GRACE)  # a thread of ONNX Runtime that returns at Python's end aborts it
    if call.given_up:
        raise TookTooLongError(
            f"backend {name!r} was not open and checked after {seconds:.0f} s: its model may never "
            f"end; take another backend, or set {VARIABLE} above {seconds:.0f} if it is only slow"
        )
    return call.result()


class _Call(Generic[T]):
    """`work` in a thread."""

    def __init__(self, work: Callable[[Opened], T]):
        context = contextvars.copy_context()  # NumPy keeps its handling of overflows there
        self._work: Callable[[], T] = lambda: context.run(work, self._opened)
        self._lock = threading.Lock()
        self._backend: Backend | None = None
        self.given_up = False
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self._answer = self._work()
            self._error: BaseException | None = None
        except BaseException as e:  # raised again in the caller's thread
            self._error = e
        self.done.set()

    def _opened(self, backend: Backend) -> Backend:
        with self._lock:
            self._backend = backend
            late = self.given_up
        if late:
            backend.close()
            raise BackendError("nothing waits for it any more")
        return backend

    def give_up(self) -> None:
        with self._lock:
            self.given_up = True
            backend = self._backend
        if backend is not None:
            backend.interrupt()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._answer


def allowed(steps: int, streams: int) -> float:
    """Raises ConfigError for a variable that is no number of seconds."""
    text = os.environ.get(VARIABLE) or str(SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise ConfigError(f"{VARIABLE} is {text!r}; expected seconds, above 0 and below 1e6")
    return min(seconds + streams * (STREAM_SECONDS + steps * STEP_SECONDS), 1e6)
