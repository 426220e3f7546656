"""A module of this package in a process of its own, and its answer.

A vendor's library may print to the same descriptor. So the answer is a line with a mark.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

_MARK = "edge-lstm answers: "


def command(module: str, request: object) -> list[str]:
    """module: within the package, such as "verify.bench". request: for JSON."""
    return [sys.executable, "-m", f"{__package__}.{module}", json.dumps(request)]


def variables() -> dict[str, str]:
    """The process imports the package from where this one has it."""
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def requested() -> Any:
    """In that process: the request."""
    return json.loads(sys.argv[1])


def answer(value: object) -> None:
    """In that process: give the answer."""
    sys.stdout.write(f"\n{_MARK}{json.dumps(value)}\n")


def answered(output: str) -> Any:
    """The answer in what the process has printed. None if there is none."""
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    return json.loads(lines[-1].removeprefix(_MARK)) if lines else None
