"""Runs uv, which makes the converter's environment. Shows its progress, and why it failed."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from edge_lstm_runtime import MissingDependencyError

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PROGRESS = ("Downloading", "Downloaded", "Resolved", "Prepared", "Installed")
_COMPLAINT = re.compile(r"^(error\b|Caused by|×|╰|├|hint)")


def call(
    arguments: Sequence[str], variables: Mapping[str, str], say: Callable[[str], None], *, lock: int
) -> str | None:
    """None, or why uv failed, in one line.

    lock: a descriptor that uv keeps open. So its lock holds until uv ends, even if this process is
    killed. Raises MissingDependencyError if uv is not installed.
    """
    try:
        from uv import find_uv_bin
    except ImportError as e:
        raise MissingDependencyError(
            "uv, which makes the converter's environment,", "export"
        ) from e
    terminal = sys.stderr.isatty()
    ours, theirs = _terminal_like_stderr() if terminal else os.pipe()
    try:
        process = subprocess.Popen(
            [find_uv_bin(), *arguments],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            pass_fds=(lock,),
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    text = ""
    try:
        for part in _parts(ours):
            if terminal:
                with contextlib.suppress(OSError):  # its words are returned all the same
                    stream = getattr(sys.stderr, "terminal", sys.stderr)
                    stream.write(part)
                    stream.flush()
            else:
                *lines, _ = (text.rpartition("\n")[2] + part).split("\n")
                for line in lines:
                    if line.startswith(_PROGRESS):
                        say(f"  {line.strip()}")
            text = (text + part)[-20000:]
        code = process.wait()
    finally:
        os.close(ours)
        process.kill()
        process.wait()
    return None if code == 0 else _message(text) or f"exit code {code}"


def _terminal_like_stderr() -> tuple[int, int]:
    """uv draws its bars on a terminal only. Through one of ours, its words can be kept as well."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    size = fcntl.ioctl(sys.stderr.fileno(), termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    return ours, theirs


def _parts(descriptor: int) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # from a terminal, if the other side has closed it
            return
        if not data:
            return
        yield decoder.decode(data)


def _message(text: str) -> str:
    lines = [
        line.strip()
        for line in _ANSI.sub("", text).replace("\r", "\n").splitlines()
        if line.strip()
    ]
    first = next(
        (n for n, line in enumerate(lines) if _COMPLAINT.match(line)), max(0, len(lines) - 3)
    )
    message = " ".join(line.lstrip("×╰├─▶│ ") for line in lines[first:])
    return message if len(message) <= 600 else f"{message[:400]} ... {message[-200:]}"
