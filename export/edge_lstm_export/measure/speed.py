"""The time of a backend on the exporting machine, and the bytes that it holds.

It is short, so that an export stays quick. `edge-lstm bench` takes longer, and measures each
backend in a process of its own.
"""

from __future__ import annotations

import dataclasses
import os
import platform
from pathlib import Path

import numpy as np

from edge_lstm_runtime import Bundle
from edge_lstm_runtime.model.measured import Measured
from edge_lstm_runtime.verify.bench import latencies

SECONDS = 0.05  # for each backend, unless LEAST steps take longer
LEAST = 50  # steps
MOST = 2000


@dataclasses.dataclass(frozen=True)
class Speed:
    """name: of the backend. p50_us, p99_us: microseconds of a single step, raw sample to answer,
    called from Python. steps: those that were timed. weights: bytes of its weights, which it reads
    in each step."""

    name: Measured
    p50_us: float
    p99_us: float
    steps: int
    weights: int


def time_backend(bundle: Bundle, name: Measured, weights: int) -> Speed:
    """Raises BackendError if the backend can't be opened or fails."""
    first = latencies(bundle, name.backend, None, LEAST)
    steps = int(np.clip(SECONDS / max(float(np.median(first)), 1e-9), LEAST, MOST))
    times = latencies(bundle, name.backend, None, steps) if steps > LEAST else first
    p50, p99 = (float(1e6 * p) for p in np.percentile(times, (50, 99)))
    return Speed(name, p50, p99, steps, weights)


def machine() -> str:
    """The processor and the number of its cores, in words."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    cores = os.cpu_count() or 1
    return f"{next(named, model)}, {cores} core{'s' if cores > 1 else ''}"
