"""Standard output whose failures are errors of ours, in one line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO, Any

from ..errors import ConfigError


class Output:
    """A text stream. A write that fails, as on a full disk, raises ConfigError.

    The rest of the output is then dropped. A broken pipe stays BrokenPipeError: it has its own
    way out.
    """

    def __init__(self, stream: IO[str]):
        self._stream = stream

    def write(self, text: str) -> int:
        with self._told():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._told():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as e:
            # The stream keeps the text and would fail again when it is closed.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            raise ConfigError(
                f"can't write to standard output: {e.strerror or e}; make room, or send the "
                "output elsewhere"
            ) from e
