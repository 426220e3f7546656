"""A command on a board, by OpenSSH's own client: the user's keys, agents and ~/.ssh/config hold.

What a board says is never believed: its size and time are bounded, and its text is escaped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.shown import in_a_line

from .hosts import Host

TOOL = "ssh"
LINE = 1 << 16  # bytes of a line
ALL = 1 << 20  # bytes of all lines
TAIL = 4096  # bytes that are kept of standard error
LONGEST = 300  # characters of a line for people
LEFT = 10.0  # seconds that ssh may take to end after the last line
# After the user's own, for ssh takes the first value of an option. There is no terminal to ask on.
# A RemoteCommand or forwarded ports in the user's configuration would get in the way. A new
# master of shared connections would keep standard error open; one that is there is used.
OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "RemoteCommand=none",
    "ClearAllForwardings=yes",
    "ControlMaster=no",
)


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a call ended.

    code: ssh's, which is that of the command there, or 255 for a fault of ssh itself. None if the
    call was cut off. said: the last line of standard error. why: of a call that was cut off.
    """

    code: int | None
    said: str
    why: str = ""


def check_ssh() -> None:
    """Raise ConfigError if there is no ssh."""
    if shutil.which(TOOL) is None:
        raise ConfigError(
            f"there is no {TOOL} here, which reaches the boards; install OpenSSH's client (Debian: "
            "openssh-client)"
        )


def remote_command(host: Host, arguments: Sequence[str]) -> str:
    """The line for the board's shell: the host's command as it is, the arguments in quotes."""
    return " ".join([host.command, *map(shlex.quote, arguments)])


def at_home(path: str) -> str:
    """A path on the board. ssh begins in the home folder there, so ~/a is a."""
    return path[2:].lstrip("/") or "." if path.startswith("~/") else path


def ssh_command(host: Host, line: str) -> list[str]:
    options = [word for each in (*host.ssh_options, *OPTIONS) for word in ("-o", each)]
    port = [] if host.port is None else ["-p", str(host.port)]
    return [TOOL, "-T", "-a", "-x", *options, *port, "--", host.address, line]


def call(
    host: Host,
    arguments: Sequence[str],
    take: Callable[[bytes], bool],
    *,
    data: bytes = b"",
    seconds: float,
) -> Ended:
    """Run the host's command there.

    take: gets each line of its output, and says whether it was the last one that matters. data: for
    its standard input. seconds: for all of it.

    The process is in a session of its own: Ctrl-C on the terminal does not reach it. Raises OSError
    if ssh can't be started.
    """
    process = subprocess.Popen(
        ssh_command(host, remote_command(host, arguments)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    late = threading.Event()

    def cut() -> None:
        late.set()
        process.kill()

    tail = bytearray()
    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    writer = threading.Thread(target=_write, args=(process.stdin, data), daemon=True)
    reader = threading.Thread(target=_keep_tail, args=(process.stderr, tail), daemon=True)
    for thread in (timer, writer, reader):
        thread.start()
    why = ""
    try:
        with process.stdout:
            if not _lines(process.stdout, take):
                why = f"it said more than {ALL} bytes, or a line of more than {LINE}"
                process.kill()
            try:
                code: int | None = process.wait(LEFT)
            except subprocess.TimeoutExpired:  # a process there has kept the connection open
                process.kill()
                process.wait()
                code = None
    finally:
        timer.cancel()
        process.kill()  # no harm to one that has ended
        process.wait()
    reader.join(1)
    if late.is_set():
        why = f"there was no answer within {seconds:g} s"
    return Ended(None if why else code, _last_line(bytes(tail)), why)


def _lines(stream: IO[bytes], take: Callable[[bytes], bool]) -> bool:
    """False if there was too much."""
    size = 0
    while line := stream.readline(LINE):
        size += len(line)
        if size > ALL or len(line) == LINE:
            return False
        if take(line):
            break
    return True


def _write(stream: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(OSError), stream:  # the other end is gone: its exit code says why
        stream.write(data)


def _keep_tail(stream: IO[bytes], tail: bytearray) -> None:
    with contextlib.suppress(OSError, ValueError), stream:
        while part := stream.read1(TAIL):  # type: ignore[attr-defined]
            tail += part
            del tail[:-TAIL]


def _last_line(data: bytes) -> str:
    lines = [line.strip() for line in data.decode(errors="replace").splitlines()]
    return in_a_line(next((line for line in reversed(lines) if line), ""))[:LONGEST]
