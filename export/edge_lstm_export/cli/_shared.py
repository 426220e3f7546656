"""Shared by the exporter's commands."""

from __future__ import annotations

import sys

from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.near import did_you_mean

from ..npu.targets import targets

C = "c"  # the one target that isn't an NPU


def check_target(name: str) -> None:
    """Raise ConfigError for one that is neither an NPU nor C source."""
    known = [*targets(), C]
    if name not in known:
        raise ConfigError(
            f"there is no target {name!r}; {did_you_mean(name, known)}known: {', '.join(known)} "
            f"({C}: C source for any other board, a microcontroller too)"
        )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
