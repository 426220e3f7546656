"""Boards on loopback: real sshd processes, each with a port, a host key and a folder of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from helpers.commands import environment
from helpers.keys import make_key

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
needs_sshd = pytest.mark.skipif(
    shutil.which("ssh") is None or not os.access(SSHD, os.X_OK),
    reason="there is no ssh or no sshd here (openssh-client, openssh-server)",
)
# The files are in a temporary folder, which others may write in: StrictModes would refuse them.
CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {key}
AuthorizedKeysFile {user}.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 200
"""
WRAPPER = '#!/bin/sh\n{before}\nexec env {variables} {command} "$@"\n'


class Boards:
    """folder: with a user's key, and a file of known host keys. options: for ssh."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.user_key = folder / "user"
        make_key(self.user_key)
        (folder / "known").touch()
        self.address = f"{getpass.getuser()}@127.0.0.1"
        self.options = [
            f"IdentityFile={self.user_key}", "IdentitiesOnly=yes",
            f"UserKnownHostsFile={folder / 'known'}", "GlobalKnownHostsFile=none",
        ]  # fmt: skip
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *, known: bool = True) -> int:
        """A further sshd -> its port. known: its host key is."""
        port = free_port()
        key = self.folder / f"host-{port}"
        public = make_key(key)
        config = self.folder / f"sshd-{port}.conf"
        config.write_text(CONFIG.format(port=port, key=key, user=self.user_key))
        if known:
            with (self.folder / "known").open("a") as file:
                file.write(f"[127.0.0.1]:{port} {public}\n")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # which it wants if it is root's
        with (self.folder / f"sshd-{port}.log").open("wb") as log:
            process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log)
        self._running.append(process)
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return port
            log_text = (self.folder / f"sshd-{port}.log").read_text()
            if process.poll() is not None:
                pytest.skip(f"sshd does not run here: {log_text}")
            assert time.monotonic() < end, log_text
            time.sleep(0.01)

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
            process.wait()

    def flags(self) -> list[str]:
        """Of a command, for these boards."""
        return [word for each in self.options for word in ("--ssh-option", each)]


@contextlib.contextmanager
def boards(folder: Path) -> Iterator[Boards]:
    made = Boards(folder)
    try:
        yield made
    finally:
        made.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def program(path: Path, before: str = "", command: Sequence[str] = (), **variables: str) -> str:
    """Write `edge-lstm` of a board: the runtime under test -> the line for the board's shell.

    before: a shell's lines that come first. command: in place of this Python's.
    """
    env = {"PYTHONPATH": environment()["PYTHONPATH"], "OMP_NUM_THREADS": "1", **variables}
    words = command or (sys.executable, "-m", "edge_lstm_runtime.cli")
    path.write_text(
        WRAPPER.format(
            before=before,
            variables=shlex.join(f"{key}={value}" for key, value in env.items()),
            command=shlex.join(words),
        )
    )
    path.chmod(0o755)
    return shlex.quote(str(path))


def script(path: Path, lines: str) -> str:
    """A program that is no runtime."""
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return shlex.quote(str(path))
