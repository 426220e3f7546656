"""Standard input, output and error, whatever the shell made of them.

A stream may be closed, its disk full, its reader gone, or its encoding too small for a name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

from ..errors import ConfigError
from ..shown import shown


class Output:
    """Standard output. A write that fails, as on a full disk, raises ConfigError.

    The rest of the output is then dropped. A broken pipe, as of `| head`, raises BrokenPipeError.

    goes_on: a broken pipe drops the rest of the output and raises nothing, for a command whose work
    is more than its output. Any other failure is kept, and `flush` of the last one raises it.
    """

    def __init__(self, stream: IO[str]):
        self._stream = stream
        self._failed: OSError | None = None
        self.goes_on = False

    def write(self, text: str) -> int:
        with self._told():
            self._stream.write(shown(text))
        return len(text)

    def flush(self) -> None:
        with self._told():
            self._stream.flush()

    def end(self) -> None:
        """Flush for the last time: what was printed may have waited in a buffer until now.

        Raises ConfigError if some output was lost, and BrokenPipeError as `write` does.
        """
        goes_on = self.goes_on
        self.goes_on = False
        try:
            self.flush()
        except BrokenPipeError:
            if goes_on:  # nobody wants the rest
                return
            raise
        if self._failed is not None and not isinstance(self._failed, BrokenPipeError):
            raise _lost(self._failed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            _drop(self._stream)
            if self.goes_on:
                self._failed = self._failed or e
                return
            if isinstance(e, BrokenPipeError):
                raise
            raise _lost(e) from e


class Progress:
    """Standard error. If it can't be written, the rest of it is dropped: there is no other place
    to say so, and the work goes on.

    escaped: what becomes of a text's controls.
    """

    def __init__(self, stream: IO[str], escaped: Callable[[str], str] = shown):
        self._stream = stream
        self._escaped = escaped

    @property
    def terminal(self) -> Progress:
        """The same with its controls, for a bar that moves the cursor. No names belong there."""
        return Progress(self._stream, str)

    def write(self, text: str) -> int:
        try:
            self._stream.write(self._escaped(text))
        except OSError:
            _drop(self._stream)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            _drop(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _lost(error: OSError) -> ConfigError:
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)
    advice = "send it" if error.errno == errno.EBADF else "make room, or send the output"
    return ConfigError(f"can't write to standard output: {reason}; {advice} elsewhere")


def _drop(stream: IO[str]) -> None:
    """Send the rest nowhere. The stream keeps the text and would fail again when it is closed."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def streams() -> Iterator[Output]:
    """The standard streams, each of which can be used. Gives standard output.

    A closed one becomes one that fails when it is used, so that no file of ours gets its number.
    Characters that an encoding lacks are written as escapes.
    """
    for descriptor, other_way in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, other_way)  # gets the lowest number that is free, this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    out = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    err = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if hasattr(out, "reconfigure"):
        out.reconfigure(errors="backslashreplace")
    found = Output(out)
    progress: Any = Progress(err)
    standard: Any = found
    with contextlib.redirect_stdout(standard), contextlib.redirect_stderr(progress):
        yield found
        progress.flush()
