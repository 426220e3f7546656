"""What the exporter's commands share."""

from __future__ import annotations

import sys

C = "c"  # the target that is no NPU


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
