"""A conversion in a process of its own.

However the vendor's code fails in there, the failure ends in one clear line here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from edge_lstm_runtime import ConversionError
from edge_lstm_runtime.errors import ConverterDiedError
from edge_lstm_runtime.files import atomic_write

from .batch import STOPPED, Batch
from .child import MEMORY_VARIABLE, Child, EndedError, Tool, memory_limit
from .folder import claim_folder, is_full, no_folder
from .making import interpreter

Result = TypeVar("Result")
Own = TypeVar("Own", bound="Process")
STEP_TIMEOUT = 120.0  # seconds
_NO_MEMORY = re.compile(
    r"MemoryError|bad_alloc|[Cc]ould not allocate|[Uu]nable to allocate"
    r"|[Cc]an(no|')t allocate memory|not enough memory"
    r"|failed to map segment|[Tt]hread creation failed|can't start new thread"
)


class Process:
    """The worker of a `Tool`, started, with a folder of its own.

    Use it as a context manager: leaving it ends the process and removes the folder. A converter of
    a vendor derives from it, and asks.
    """

    def __init__(
        self,
        tool: Tool,
        label: str,
        write: Callable[[Path], Mapping[str, str]],
        *,
        say: Callable[[str], None] = lambda _: None,
        log_file: Path | None = None,
        batch: Batch | None = None,
    ):
        """label: of the conversion, for messages. write: puts files for the worker into the folder,
        and returns the sha256 of each, which `files` has then. batch: of the processes that are
        ended together.

        Raises ConversionError with the vendor's own message, and ConverterDiedError if the process
        gave no answer. The whole log is then kept in `log_file`, if one is given.
        """
        self._tool = tool
        self._label = label
        self._log_file = log_file
        memory = memory_limit()
        program = interpreter(tool.environment, say)
        self._folder, self._claim = claim_folder()
        self._batch = batch or Batch()
        self._child = Child(tool, self._folder, memory, self._batch)
        try:
            try:
                self.files = write(self._folder)
                self._child.start(program)
            except OSError as e:
                raise ConversionError(no_folder(self._folder, e)) from e
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        """Waits until the vendor's code is loaded."""
        environment = self._tool.environment
        try:
            error = self._child.receive(time.monotonic() + STEP_TIMEOUT)[0]
        except EndedError:
            ended = f"can't be loaded: {self._child.how_it_ended()}"
            advice = "" if self._child.was_killed else environment.advice()
            raise self.failure(ended, advice=advice, retry=True) from None
        except TimeoutError:
            self._child.kill()
            late = f"gave no answer in time ({STEP_TIMEOUT:g} s, to be loaded) and was ended"
            raise self.failure(late, retry=False) from None
        if error:
            raise self.failure(f"can't be loaded: {error}", advice=environment.advice())

    def ask(
        self,
        operation: str,
        data: bytes = b"",
        *,
        job: Mapping[str, Any] | None = None,
        timeout: float = STEP_TIMEOUT,
    ) -> bytes:
        """The worker's answer to a request. timeout: in seconds. Raises as `__init__`."""
        if self._child.process is None:
            raise ConversionError(f"the simulator of {self._label} is closed")
        header = json.dumps({"operation": operation, "job": job, "bytes": len(data)})
        deadline = time.monotonic() + timeout
        try:
            self._child.send(header.encode() + b"\n" + data, deadline)
            error, result = self._child.receive(deadline)
        except (EndedError, BrokenPipeError):
            raise self.failure(self._child.how_it_ended(), retry=True) from None
        except TimeoutError:
            self._child.kill()
            raise self.failure(
                f"gave no answer in time ({timeout:g} s in {operation}) and was ended", retry=False
            ) from None
        if error:
            messages = self._tool.errors(self.log())
            raise self.failure(
                f"failed in {operation}: {error}" + (f" ({messages[0]})" if messages else "")
            )
        return result

    def log(self) -> str:
        """All that the vendor's code has printed so far."""
        return self._child.log()

    def read(self, name: str) -> bytes:
        """A file that the worker wrote into the folder. b"" if there is none."""
        path = self._folder / name
        return path.read_bytes() if path.exists() else b""

    def failure(self, what: str, *, advice: str = "", retry: bool | None = None) -> ConversionError:
        """The error to raise. what: what the converter did, in words.

        retry: as of ConverterDiedError. None if the process gave an answer, unless this machine
        was too small for it.
        """
        if self._batch.ended:  # that killed it, and its log tells nobody anything
            return ConversionError(STOPPED)
        text = self.log()
        size = self._child.limit
        peak = self._child.peak
        limit = f"out of memory (limit {size / 2**30:g} GiB, set by {MEMORY_VARIABLE})"
        if _NO_MEMORY.search(what) or _NO_MEMORY.search(text):
            what = f"ran {limit}: {what}"
            advice = ""
            retry = False
        elif is_full(self._folder):
            what = f"found no space left in {self._folder.parent} (less than 1 MiB): {what}"
            advice = ""
            retry = False
        elif peak > 0.7 * size:
            # Without memory the vendor's code fails in many ways, most of which name another cause.
            what = f"probably ran {limit}; it had {peak / 2**30:.2f} GiB: {what}"
            advice = ""
            retry = False
        kept = f"; {advice}" if advice else ""
        if self._log_file is not None:
            try:
                with atomic_write(self._log_file) as file:
                    file.write(text.encode())
                kept += f"; its whole log is in {self._log_file}"
            except OSError as e:
                kept += f"; its log could not be kept in {self._log_file}: {e.strerror}"
        message = f"{self._tool.environment.tool} ({self._label}) {what}{kept}"
        if retry is None:
            return ConversionError(message)
        return ConverterDiedError(message, retry=retry)

    def close(self) -> None:
        self._child.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def once_more(action: Callable[[], Result], say: Callable[[str], None]) -> Result:
    """The action's result. If a converter died in it, the action is done once more."""
    try:
        return action()
    except ConverterDiedError as e:
        if not e.retry:
            raise
        say(f"  {e}; once more")
        return action()
