"""The parts that the benchmarks share.

They name the machine and the versions that a figure belongs to, and repeat calls fairly.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# One thread for NumPy's BLAS and for OpenMP, which read this as they are loaded. A step is too
# small to be shared out.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def describe(*packages: str) -> str:
    """One line: processor, cores, Python and packages."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (
                line.split(":", 1)[1].strip()
                for line in info.read_text().splitlines()
                if line.startswith("model name")
            ),
            model,
        )
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    where = f"{model}, {os.cpu_count()} cores, {platform.system()}"
    return f"{where}; Python {platform.python_version()}, {', '.join(found)}"


def pin(core: int | None = None) -> int:
    """Keep this process, and the threads that it starts from now on, on one core.

    core: if None, the last one that it may use. Linux only.
    """
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    return core


def interleaved(
    calls: Mapping[str, Callable[[], object]], *, repeats: int, number: int
) -> dict[str, list[float]]:
    """Seconds per call of each, `repeats` times.

    They go in turns, so that other work of the machine meets all of them alike.
    """
    for call in calls.values():
        for _ in range(min(number, 200)):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for turn in range(repeats):
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            call = calls[name]
            start = time.perf_counter()
            for _ in range(number):
                call()
            times[name].append((time.perf_counter() - start) / number)
    return times


def ratio(times: Mapping[str, list[float]], one: str, other: str) -> float:
    """The median over the repeats of one / other. Each pair is of neighbours in time."""
    return statistics.median(a / b for a, b in zip(times[one], times[other], strict=True))
