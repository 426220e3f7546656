"""What the exporter's commands share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


C = "c"  # the target that is no NPU


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
