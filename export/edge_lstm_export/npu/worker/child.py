"""The converter's process, as its parent sees it: started, asked, watched, ended."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import edge_lstm_runtime
from edge_lstm_runtime import ConfigError, ConversionError

from .batch import Batch, end_group
from .environment import Environment

MEMORY_VARIABLE = "EDGE_LSTM_CONVERTER_MEMORY_GB"
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
MEMORY_GB = 8.0  # of address space; hidden 64 takes 1.2, hidden 1024 1.7


class EndedError(Exception):
    """The process has closed its pipe."""


@dataclasses.dataclass(frozen=True)
class Tool:
    """A vendor's converter.

    worker: a file that the process loads in the environment. It has a class `Worker`, which is made
    with the process's folder. Its `answer(operation, job, data)` takes the name of a request, a
    JSON object or None, and bytes, and returns bytes. If it raises, the last line is the reason.
    errors: the messages of the lines at error level in a log.
    """

    environment: Environment
    worker: Path
    errors: Callable[[str], list[str]] = lambda _: []


class Child:
    """limit, peak: bytes of address space, allowed and last seen. process: None if not running."""

    def __init__(self, tool: Tool, folder: Path, limit: int, batch: Batch) -> None:
        self.limit = limit
        self._tool = tool
        self.peak = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._folder = folder
        self._batch = batch
        self._pipes: list[int] = []

    def start(self, interpreter: Path) -> None:
        # The worker imports the runtime package alone. The rest of this environment must not be on
        # its path.
        packages = self._folder / "packages"
        packages.mkdir()
        (packages / "edge_lstm_runtime").symlink_to(Path(edge_lstm_runtime.__file__).parent)
        ends = []
        for ours in (1, 0, 1):  # requests, answers, lifeline: the last is only held
            pair = os.pipe()
            self._pipes.append(pair[ours])
            ends.append(pair[1 - ours])
        os.set_blocking(self._pipes[0], False)
        start = Path(__file__).with_name("start.py")
        told = (str(self.limit), self._tool.worker)
        try:
            with open(self._folder / "log.txt", "wb") as output:  # noqa: PTH123
                try:
                    self.process = self._batch.start(
                        [interpreter, start, self._folder, *map(str, ends), *told],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        pass_fds=ends,
                        cwd=self._folder,  # the vendor's code leaves files where it stands
                        env=_variables(packages, self._folder),
                        start_new_session=True,
                    )
                except OSError as e:
                    advice = self._tool.environment.advice()
                    raise ConversionError(
                        f"can't start {interpreter}: {e.strerror}; {advice}"
                    ) from e
        finally:
            for end in ends:
                os.close(end)

    def log(self) -> str:
        """All that the vendor's code has printed so far."""
        try:
            return (self._folder / "log.txt").read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def send(self, data: bytes, deadline: float) -> None:
        """Raises TimeoutError, or BrokenPipeError if the process has ended."""
        view = memoryview(data)
        while view:
            self._wait_for(self._pipes[0], deadline, writing=True)
            view = view[os.write(self._pipes[0], view) :]

    def receive(self, deadline: float) -> tuple[str | None, bytes]:
        """(error, content) of one answer. Raises TimeoutError, or EndedError."""
        line = b""
        while not line.endswith(b"\n"):
            line += self._read(1, deadline)
        answer = json.loads(line)
        self.peak = answer["peak"]
        return answer["error"], self._read(answer["bytes"], deadline)

    def _read(self, count: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            self._wait_for(self._pipes[1], deadline)
            part = os.read(self._pipes[1], count - len(parts))
            if not part:
                raise EndedError
            parts += part
        return bytes(parts)

    def _wait_for(self, descriptor: int, deadline: float, *, writing: bool = False) -> None:
        mine: tuple[list[int], list[int]] = ([], [descriptor]) if writing else ([descriptor], [])
        while not any(select.select(*mine, [], max(0.0, min(0.1, deadline - time.monotonic())))):
            self._look_at_memory()
            if time.monotonic() >= deadline:
                raise TimeoutError

    def _look_at_memory(self) -> None:
        assert self.process is not None
        try:
            text = Path(f"/proc/{self.process.pid}/status").read_text("ascii", errors="replace")
        except OSError:
            return
        if match := re.search(r"VmPeak:\s+(\d+) kB", text):
            self.peak = int(match[1]) * 1024

    def how_it_ended(self) -> str:
        assert self.process is not None
        try:
            code = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
            return "closed its pipe and went on; it was ended"
        if code == -signal.SIGKILL:
            return "was killed (SIGKILL), by hand or by the system for want of memory"
        if code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        text = self.log()
        last_line = [line for line in text.splitlines() if line.strip()][-1:]
        messages = self._tool.errors(text) or last_line
        return f"ended with exit code {code}" + (f": {messages[-1]}" if messages else "")

    @property
    def was_killed(self) -> bool:
        """From outside, so that nothing speaks against its environment."""
        return self.process is not None and self.process.returncode in _FROM_OUTSIDE

    def kill(self) -> None:
        assert self.process is not None
        end_group(self.process)
        self.process.wait()

    def close(self) -> None:
        if self.process is not None:
            self.kill()
            self.process = None
        for descriptor in self._pipes:
            os.close(descriptor)
        self._pipes = []


def _variables(packages: Path, folder: Path) -> dict[str, str]:
    """The environment variables of the process."""
    blocked = {"PYTHONHOME", "VIRTUAL_ENV"}
    variables = {k: v for k, v in os.environ.items() if k not in blocked}
    # Several conversions run side by side.
    variables.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    variables["PYTHONPATH"] = str(packages)
    variables["PYTHONNOUSERSITE"] = "1"
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    variables["PYTHONUNBUFFERED"] = "1"  # else the end of the log is missing when it is read
    variables["TMPDIR"] = str(folder)
    return variables


def memory_limit() -> int:
    """Bytes of address space. Raises ConfigError if MEMORY_VARIABLE isn't a number above 0."""
    text = os.environ.get(MEMORY_VARIABLE) or str(MEMORY_GB)
    try:
        size = int(float(text) * 2**30)
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise ConfigError(
            f"{MEMORY_VARIABLE} is {text!r}; expected a number of GiB above 0, "
            f"such as {MEMORY_GB:g}"
        )
    return size
