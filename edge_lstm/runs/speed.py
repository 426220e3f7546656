"""RUN/speed.json: the time of a step of each backend, as an export measured it on its machine.

It lies in the run and not in the bundle, whose bytes follow from the run alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.files import atomic_write, sealed_json
from edge_lstm_runtime.inputs import as_samples
from edge_lstm_runtime.session import Session

from ..results.on_cpu import cpu_backend
from ..results.run import load_run
from ..training import checkpoint

FILE = "speed.json"
STEPS = 1000


def write(path: Path, machine: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """path: of the run. rows: "backend", "p50_us" and more, the recommended one first.

    Raises OSError.
    """
    values = {"machine": machine, "backends": [dict(row) for row in rows]}
    with atomic_write(path / FILE) as file:
        file.write(sealed_json(values))


def known(path: Path) -> tuple[float | None, str | None]:
    """Microseconds of a step by the first of the backends, and its name. None, None without an
    export. Raises TrainingError if the file is damaged."""
    try:
        first = checkpoint.read_json(path / FILE)["backends"][0]
        return float(first["p50_us"]), str(first["backend"])
    except FileNotFoundError:
        return None, None
    except (KeyError, IndexError, TypeError, ValueError) as e:
        raise TrainingError(f"{path / FILE}: damaged; delete it, and export again") from e


def measure(path: Path) -> tuple[float, str]:
    """The same, measured now in this process over the run's test split: of the native kernel, or of
    NumPy if it takes no such network. Raises TrainingError, and DataError if the data is gone."""
    run = load_run(path)
    spec = run.spec
    backend = cpu_backend(spec, run.weights)
    rows = as_samples(spec.inputs, max((s.x for s in run.splits.test), key=len))
    samples = [rows] if spec.whole else list(rows[:STEPS])
    runs = max(20, STEPS // len(rows)) if spec.whole else STEPS
    with Session(spec, backend) as session:
        answer: Any = session.run if spec.whole else session.step
        times = np.empty(runs)
        for n in range(-(runs // 10), runs):  # the first ones warm the caches
            sample = samples[n % len(samples)]
            start = time.perf_counter()
            answer(sample)
            times[max(n, 0)] = time.perf_counter() - start
    steps = len(rows) if spec.whole else 1
    return 1e6 * float(np.median(times)) / steps, backend.name
