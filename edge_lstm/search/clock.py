"""Microseconds of a step, measured here with any weights, or estimated from a board's figures."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.backends.registry import known_facts
from edge_lstm_runtime.errors import BackendUnavailableError, ConfigError
from edge_lstm_runtime.files import atomic_write
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.session import Session

from ..results.on_cpu import cpu_backend
from .costs import random_weights

STEPS = 200  # of a round
EXPECTED = "expected the output of `edge-lstm bench BUNDLE --json`"
ROUNDS = 15  # the median of their medians is robust against other work, if it is short


@dataclasses.dataclass(frozen=True)
class Here:
    """Measured on this machine's CPU, once for each shape.

    samples: (T, C) raw units, to step through. cache: the file that keeps what was measured.
    """

    samples: NDArray[Any]
    cache: Path
    said = "measured on this machine, one stream, called from Python, with random weights"

    def __call__(self, spec: ModelSpec, number_format: str) -> float:
        key = json.dumps([number_format, spec.inputs.feature_size, spec.network.to_json()])
        known = self._known()
        if key not in known:
            try:
                found = microseconds(spec, number_format, self.samples)
            except BackendUnavailableError:
                return math.inf  # nothing here runs the format
            known = {**self._known(), key: found}  # others may have measured meanwhile
            with atomic_write(self.cache) as file:
                file.write(json.dumps(known, indent=0).encode())
        return known[key]

    def _known(self) -> dict[str, float]:
        try:
            found: dict[str, float] = json.loads(self.cache.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found


def microseconds(spec: ModelSpec, number_format: str, samples: NDArray[Any]) -> float:
    """The median time of a step from raw sample to answer."""
    x = np.resize(samples.astype(spec.inputs.sample_dtype), (STEPS, samples.shape[1]))
    session = Session(spec, cpu_backend(spec, random_weights(spec.network), number_format))

    def rounds() -> float:
        times = []
        for sample in x:
            began = time.perf_counter()
            session.step(sample)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    def whole() -> float:
        began = time.perf_counter()
        session.run(x)
        return (time.perf_counter() - began) / len(x)

    measure = whole if spec.whole else rounds
    measure()  # warms the caches
    return 1e6 * statistics.median(measure() for _ in range(ROUNDS))


@dataclasses.dataclass(frozen=True)
class Board:
    """Estimated from the figures of `edge-lstm bench --json`.

    Over the multiply-accumulates it is a line between two measured nets, and on beyond the largest.
    Below the smallest it is that line too, but no less than in proportion to the smallest one's
    time. With one net, it is in proportion.

    points: number format -> the backend, and (MACs, microseconds) of its nets in order.
    """

    points: Mapping[str, tuple[str, tuple[tuple[float, float], ...]]]
    machine: str

    @property
    def said(self) -> str:
        rows = ", ".join(
            f"{number_format}: {backend} with {len(found)} net{'s' if len(found) > 1 else ''}"
            for number_format, (backend, found) in self.points.items()
        )
        return f"estimated from what was measured on {self.machine or 'a board'} ({rows})"

    def __call__(self, spec: ModelSpec, number_format: str) -> float:
        if number_format not in self.points:
            return math.inf  # the board has no backend for it
        _, points = self.points[number_format]
        macs = float(spec.network.macs_per_step)
        if len(points) == 1:
            return points[0][1] * macs / points[0][0]
        after = next((k for k, (m, _) in enumerate(points) if m >= macs), len(points) - 1)
        (m0, t0), (m1, t1) = points[max(after, 1) - 1], points[max(after, 1)]
        slope = max(0.0, (t1 - t0) / (m1 - m0))  # a larger net isn't faster
        line = t0 + slope * (macs - m0)
        return max(line, t0 * macs / m0) if macs < m0 else line


def read_bench(path: Path) -> str:
    """The text of a file of `edge-lstm bench --json`. Raises ConfigError if it can't be used."""
    try:
        text = path.read_text("utf-8")
        board_of(text)
    except (OSError, UnicodeDecodeError) as e:
        reason = getattr(e, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"--bench {path}: can't be read ({reason}); {EXPECTED}") from e
    except ConfigError as e:
        raise ConfigError(f"--bench {path}: {e}") from e
    return text


def board_of(text: str) -> Board:
    """text: the lines of `edge-lstm bench --json`, of one bundle or several. Raises ConfigError."""
    found: dict[str, dict[float, float]] = {}
    machine = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        row = _row(line, f"line {number}")
        machine = row["machine"]
        if not row["simulator"]:
            found.setdefault(row["backend"], {})[float(row["macs"])] = float(row["p50_us"])
    facts = known_facts()
    points: dict[str, tuple[str, tuple[tuple[float, float], ...]]] = {}
    for backend, times in found.items():
        fact = facts.get(backend)
        if fact is None or fact.runs_on != "cpu" or fact.graph or fact.is_reference:
            continue
        mine = (backend, tuple(sorted(times.items())))
        best = points.get(fact.number_format)
        if best is None or _rank(mine) < _rank(best):
            points[fact.number_format] = mine
    if not points:
        raise ConfigError(f"has no figures of a CPU's backend; {EXPECTED}")
    return Board(points, machine)


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as e:
        raise ConfigError(f"{where}: not JSON; {EXPECTED}") from e
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: no object; {EXPECTED}")
    for key in ("backend", "simulator", "p50_us", "macs", "machine"):
        if key not in row:
            raise ConfigError(f"{where}: has no {key!r}; {EXPECTED} of this version")
    for key in ("p50_us", "macs"):
        if not isinstance(row[key], int | float) or row[key] <= 0:
            raise ConfigError(f"{where}: {key} is {row[key]!r}; expected a number above 0")
    return row


def _rank(found: tuple[str, Sequence[tuple[float, float]]]) -> tuple[int, float]:
    """The most nets first, and then the fastest."""
    _, points = found
    return -len(points), points[0][1]
