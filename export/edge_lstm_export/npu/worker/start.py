"""The converter's process begins here: its limits, then the vendor's code, then answers to
requests.

`child.Child` starts it with a folder, three pipes, a limit in bytes and the file of the vendor's
worker. A message is a line of
JSON, then as many bytes as its "bytes" says. The first answer, to no request, says that the
vendor's code is loaded. Standard output and error belong to the vendor's log.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import resource
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any


def end_with_parent(lifeline: int) -> None:
    """lifeline: a pipe that the parent holds open and never writes to.

    If the parent ends in any way, the kernel closes the pipe and kills this process and its
    children, even inside the vendor's code. (PR_SET_PDEATHSIG would do so already at the end of the
    thread that started us.)
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # it had ended before
        os._exit(1)


def limit_memory(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file


def peak_memory() -> int:
    """Bytes of address space."""
    with open("/proc/self/status", "rb") as status:  # noqa: PTH123
        return next(
            (int(line.split()[1]) * 1024 for line in status if line.startswith(b"VmPeak:")), 0
        )


def in_one_line(error: BaseException) -> str:
    traceback.print_exception(error)  # into the log
    # The vendor puts a whole traceback in here.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"


def load(worker: Path) -> Any:
    place = importlib.util.spec_from_file_location("edge_lstm_worker", worker)
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def main(folder: Path, worker: Path, *numbers: int) -> None:
    requests_fd, answers_fd, lifeline, memory = numbers
    end_with_parent(lifeline)
    limit_memory(memory)
    sys.path.pop(0)  # this file's folder: the vendor's code must not import from it
    with os.fdopen(requests_fd, "rb") as requests, os.fdopen(answers_fd, "wb") as answers:

        def answer(error: str | None, content: bytes = b"") -> None:
            answers.write(
                json.dumps({"error": error, "bytes": len(content), "peak": peak_memory()}).encode()
                + b"\n"
                + content
            )
            answers.flush()

        try:
            made = load(worker).Worker(folder)
        except Exception as e:
            answer(in_one_line(e))
            return
        answer(None)
        while line := requests.readline():
            request = json.loads(line)
            data = requests.read(request["bytes"])
            try:
                content = made.answer(request["operation"], request["job"], data)
            except Exception as e:
                answer(in_one_line(e))
            else:
                answer(None, content)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[6]), *map(int, sys.argv[2:6]))
