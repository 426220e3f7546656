"""`run --state FILE`: the state of the stream is in the file, from one start to the next.

The command takes a signal between two reads. What was read is then answered, to the end of its
line, so that the state holds exactly the samples that have an answer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from .. import stored
from ..errors import BackendError, ConfigError
from ..feeds.source import Gate
from ..files import check_file_writable, failure, one_at_a_time
from ..loading import Model
from ._output import Output
from ._shared import add_save_every, save_every
from ._stop import taking

STREAM = "run"  # the only one in the file
CHUNK = 8192  # bytes that are read at once: after a signal, all of them are answered
PATIENCE = 0.5  # seconds after a signal for the rest of a line


class Feed(Protocol):
    state: stored.State


def add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="keep the state there, from one start to the next. The end of the input is then not "
        "the end of the stream: an answer that --every passes over stays held",
    )
    add_save_every(parser, "the state")


@contextlib.contextmanager
def kept(arguments: argparse.Namespace) -> Iterator[Kept | None]:
    """None without --state. Raises ConfigError if the file can't be written or is in use."""
    path = arguments.state
    every = save_every(arguments)
    if path is None:
        yield None
        return
    if path.is_dir():
        raise ConfigError(f"--state is the folder {path}; expected a file")
    try:
        check_file_writable(path)
    except OSError as e:
        raise ConfigError(f"can't write {path}: {e.strerror or e}") from e
    with one_at_a_time(path, ConfigError):
        found = Kept(path, every)
        try:
            yield found
        finally:
            found.close()


class Kept(Gate):
    """A gate that waits for the input, saves the state when it is due, and stops at a signal."""

    def __init__(self, path: Path, every: float):
        super().__init__()
        self._path = path
        self._every = every
        self._stop = taking()
        self._changed = False  # since the state was saved
        self._saved = time.monotonic()
        self._end = 0.0  # until then, the rest of a line is awaited
        self._states: dict[str, stored.State] = {}

    def read(self, model: Model) -> None:
        """The file. Raises ConfigError if it is damaged, and leaves it as it is."""
        if model.spec.whole:
            raise ConfigError(
                "--state is for models that carry a state; this one is bidirectional and answers "
                "whole sequences"
            )
        self._model = model.bundle.fingerprint
        try:
            states = stored.restore(self._path, self._model)
        except BackendError as e:
            raise self._refused(e) from e
        if states is None:
            print(f"edge-lstm: {stored.other_model(self._path)}", file=sys.stderr)
        self._states = states or {}

    def _refused(self, reason: BackendError) -> ConfigError:
        return ConfigError(f"{reason}; name another file, or delete it to start from zero")

    def answer(self, feed: Feed, texts: Iterator[str], out: Output) -> None:
        """Restore the state, give out the answers, and save it.

        texts: of the feed. If nobody takes the answers any more, what was read is in the state all
        the same. Raises ConfigError, and KeyboardInterrupt after a signal.
        """
        if self._states:
            try:
                feed.state = self._states.get(STREAM, {})
            except BackendError as e:
                raise self._refused(BackendError(f"{self._path}: {e}")) from e
        self._feed = feed
        failed: Exception | None = None
        try:
            for text in texts:
                if failed is None:
                    try:
                        out.write(text)
                        out.flush()
                    except (BrokenPipeError, ConfigError) as e:
                        failed = e
                        self._stopped()
        except ConfigError:  # of the input
            self._save()
            raise
        if failed is not None or self.stopped or self._stop.code:
            self._save()
            raise failed or KeyboardInterrupt
        self._write()

    def close(self) -> None:
        self._stop.held = False

    def size(self, file: Any, most: int) -> int:
        while most and not self.stopped:
            if self._changed and self._left() <= 0:
                self._save()
            try:
                self._stop.held = False
                if self._stop.code:
                    raise KeyboardInterrupt
                ready = _ready(file, self._left() if self._changed else None)
                self._stop.held = True
            except KeyboardInterrupt:
                self._stop.held = True
                self._stopped()
                break
            if ready:
                self._changed = True
                return min(most, CHUNK)
        more = self.part and _ready(file, max(self._end - time.monotonic(), 0))
        return min(most, int(more))

    def _stopped(self) -> None:
        self.stopped = True
        self._end = time.monotonic() + PATIENCE

    def _left(self) -> float:
        """Seconds until the state is to be saved."""
        return max(self._saved + self._every - time.monotonic(), 0)

    def _save(self) -> None:
        """If that fails, standard error says why, and the work goes on."""
        try:
            self._write()
        except ConfigError as e:
            print(f"edge-lstm: {e}", file=sys.stderr)

    def _write(self) -> None:
        self._saved = time.monotonic()
        try:
            stored.save(self._path, self._model, {STREAM: self._feed.state})
        except OSError as e:
            raise ConfigError(f"the state is not saved in {self._path}: {failure(e)}") from e
        self._changed = False


def _ready(file: Any, seconds: float | None) -> bool:
    """Whether there is something to read within that time, None for any time."""
    try:
        found, _, _ = select.select([file], [], [], seconds)
    except io.UnsupportedOperation:  # no file, as in a call from Python
        return True
    return bool(found)
