"""The command in a process of its own."""

from __future__ import annotations

import json
import os
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
