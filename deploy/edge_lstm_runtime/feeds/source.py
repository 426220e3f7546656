"""The bytes of an input, as they come: a file, standard input, a FIFO or a serial device."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

from ..errors import ConfigError
from ..inputs.text import open_bytes

STDIN = "-"
SIZE = 1 << 16  # bytes, the most that one read returns. A pipe holds as many
PAUSE = 0.01  # seconds between looks for a writer that is to come back
UNREADABLE = (OSError, EOFError, UnicodeError, zlib.error)  # a device that is gone, half a .gz


def unreadable(name: str, reason: BaseException, can: str = "can't read") -> ConfigError:
    """For a failure to read or to decode an input. name: of a file, or "-"."""
    shown = "standard input" if name == STDIN else name
    closed = getattr(reason, "errno", None) == errno.EBADF
    why = "it is closed" if closed else getattr(reason, "strerror", None) or reason
    return ConfigError(f"{can} {shown}: {why}")


class Gate:
    """Asked before each read. This one lets all through.

    part: whether the bytes so far end within a line or a sample; whoever cuts them says so.
    stopped: whether the input ends here, because the command was told to.
    """

    def __init__(self) -> None:
        self.part = False
        self.stopped = False

    def size(self, file: Any, most: int) -> int:  # noqa: ARG002 - for gates that wait for the file
        """How many bytes to read, `most` or fewer. 0 ends the input."""
        return most


class Source:
    """name    of a file, which may be packed (.gz), or "-"
    reopen  go on with the next writer of the FIFO or the device if one goes away
    gate    for each read

    Raises ConfigError if it can't be opened.
    """

    def __init__(self, name: str, *, reopen: bool = False, gate: Gate | None = None):
        self._name = name
        self._reopen = reopen
        self._gate = gate or Gate()
        self._begun = False
        try:
            self._file: Any = self._open_device() if reopen else self._open()
        except OSError as e:
            raise self.error(e) from e

    def chunks(self, size: int = SIZE) -> Iterator[bytes]:
        """The bytes that are there, at most `size` at once. It waits for the first of them only.

        b"" says that the writer has gone and that the next one is awaited. Raises ConfigError.
        """
        while True:
            silent = True
            for chunk in self._up_to_the_end(size):
                silent = False
                yield chunk
            if not self._reopen or self._gate.stopped:
                return
            if silent:
                self._open_again()
            else:
                yield b""
            time.sleep(PAUSE)

    def error(self, reason: BaseException) -> ConfigError:
        """For a failure to read or to decode."""
        return unreadable(
            self._name, reason, "can't go on reading" if self._begun else "can't read"
        )

    def close(self) -> None:
        if self._name != STDIN:
            self._file.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _up_to_the_end(self, size: int) -> Iterator[bytes]:
        read = getattr(self._file, "read1", self._file.read)
        try:
            while (most := self._gate.size(self._file, size)) and (chunk := read(most)):
                yield chunk
                self._begun = True
        except UNREADABLE as e:
            if not self._reopen:
                raise self.error(e) from e

    def _open(self) -> Any:
        if self._name == STDIN:
            if sys.stdin is None:
                raise self.error(OSError(errno.EBADF, "it is closed"))
            # A stream of text has taken its place in a call from Python.
            return getattr(sys.stdin, "buffer", None) or io.BytesIO(sys.stdin.read().encode())
        return open_bytes(self._name, buffering=0)

    def _open_device(self) -> Any:
        """Without waiting for a writer, whose end could then not be told from that of another."""
        expected = "--reopen is for a FIFO or a device"
        if self._name == STDIN:
            raise ConfigError(f"{expected}; name it as --input, in place of -")
        file = os.open(self._name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        mode = os.fstat(file).st_mode
        self._is_fifo = stat.S_ISFIFO(mode)
        if not self._is_fifo and not stat.S_ISCHR(mode):
            os.close(file)
            raise ConfigError(f"{expected}, and {self._name} is neither")
        os.set_blocking(file, True)
        return io.FileIO(file)

    def _open_again(self) -> None:
        """Open the FIFO or device that has the name now, if there is one."""
        # A device would come back under another name. A FIFO is kept open until then: its next
        # writer must not find it without a reader.
        if not self._is_fifo:
            self._file.close()
            self._file = io.BytesIO()
        before = self._file
        try:
            self._file = self._open_device()
        except OSError:  # not there yet
            return
        before.close()
