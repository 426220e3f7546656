"""The command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import edge_lstm_runtime as rt


def environment(*folders: Path) -> dict[str, str]:
    """For a child process: the packages under test, wherever this process found them, then `folders`."""
    here = [*map(str, folders), str(Path(rt.__file__).parents[1]), *(p for p in sys.path if p)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(here)), "PYTHONDONTWRITEBYTECODE": "1"}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "edge_lstm_runtime.cli", *map(str, arguments)]


def edge_lstm(
    *arguments: str | Path, text: str | bytes | None = None, folders: Sequence[Path] = (), **environ: str
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    data = text.encode() if isinstance(text, str) else text
    done = subprocess.run(
        command(*arguments), input=data, capture_output=True, env={**environment(*folders), **environ}, timeout=60, check=False
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
