"""The command in a process of its own."""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import cli


def environment(*folders: Path) -> dict[str, str]:
    """For a child process: `folders`, then the packages under test as this process found them."""
    here = [*map(str, folders), str(Path(rt.__file__).parents[1]), *(p for p in sys.path if p)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(here)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "edge_lstm_runtime.cli", *map(str, arguments)]


def in_shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A page's commands, run in a folder to their end or to the first that fails."""
    program = shlex.join([sys.executable, "-m", "edge_lstm_command"])
    script = f'edge-lstm() {{ {program} "$@"; }}\n{script}'
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def edge_lstm(
    *arguments: str | Path,
    text: str | bytes | None = None,
    folders: Sequence[Path] = (),
    **environ: str,
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    data = text.encode() if isinstance(text, str) else text
    done = subprocess.run(
        command(*arguments),
        input=data,
        capture_output=True,
        env={**environment(*folders), **environ},
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def here(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """The command in this process: exit code, standard output, standard error."""
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as e:  # argparse's way out
        code = int(e.code or 0)
    out, err = capfd.readouterr()
    return code, out, err


def csv_of(xs: np.ndarray[Any, Any], header: str = "") -> str:
    return header + "".join(",".join(map(repr, row)) + "\n" for row in xs.tolist())


def labels(out: str) -> list[str]:
    return [json.loads(line)["label"] for line in out.splitlines()]


class Pipe:
    """The command with pipes at both ends."""

    def __init__(self, *arguments: str | Path, folders: tuple[Path, ...] = ()):
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(*folders),
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin = self.process.stdin
        self.stdout = self.process.stdout

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.stdin, self.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def ask(self, line: str, seconds: float = 20.0) -> dict[str, Any]:
        self.stdin.write(line.encode() + b"\n")
        return self.answer(seconds)

    def answer(self, seconds: float = 20.0) -> dict[str, Any]:
        ready, _, _ = select.select([self.stdout], [], [], seconds)
        assert ready, f"no answer within {seconds} s"
        found: dict[str, Any] = json.loads(self.stdout.readline())
        return found
