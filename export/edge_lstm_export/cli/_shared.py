"""Shared by the exporter's commands."""

from __future__ import annotations

import sys

C = "c"  # the one target that isn't an NPU


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
