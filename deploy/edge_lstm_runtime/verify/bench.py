"""How fast a backend is on this machine, and what it takes: measured in a fresh process for each, so that none hides behind another."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.registry import facts_of, open_backend
from ..errors import BackendError, BackendUnavailableError
from ..load import load
from ..model.bundle import Bundle
from ..session import open_session
from .golden import sequences

SECONDS = 0.3  # for each of the two rates, and one round of it at least
_log = logging.getLogger("edge_lstm")
_MARK = "edge-lstm figures: "


@dataclasses.dataclass(frozen=True)
class Figures:
    """Of one backend. Times of a step are of single steps, raw sample to answer, called from Python; samples are the golden ones.

    p50_us, p99_us, p99_9_us  microseconds of a step; of a converted model that takes T steps at once, of a run of T, divided by T
    run_per_second            steps a second in `run` of the golden samples as one recording
    streams_per_second        steps a second of all `streams` streams together, in `step` of a session of that many; None of a simulator,
                              which would be built anew for each, and where a device can't have so many
    steps                     that were timed singly; at most 500 of a simulator
    memory_kb                 growth of the process's resident memory (1 kB = 1,000 bytes) from the loaded bundle to the first answer,
                              the library that the backend needs included; None where /proc does not tell it, and of a simulator
    load_ms                   from the loaded bundle to the first answer, the library's import included
    """

    backend: str
    artifact: str | None
    simulator: bool
    steps: int
    at_once: int
    p50_us: float
    p99_us: float
    p99_9_us: float
    run_per_second: float
    streams: int
    streams_per_second: float | None
    memory_kb: float | None
    load_ms: float


def measure(path: str | os.PathLike[str], name: str, artifact: str | None, steps: int, streams: int) -> Figures:
    """Measure in a process of its own. Raises BackendUnavailableError and BackendError as the backend does, or where the process died."""
    request = json.dumps([os.fspath(path), name, artifact, steps, streams])
    here = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "edge_lstm_runtime.verify.bench", request],
        stdin=subprocess.DEVNULL, capture_output=True, env={**os.environ, "PYTHONPATH": here}, check=False,
    )  # fmt: skip
    # The vendors' libraries print to the same descriptor, before it and after it.
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith(_MARK)]
    if not lines:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise BackendError(f"backend {name!r} ended its process with code {done.returncode}{': ' + said[0] if said else ''}")
    answer: dict[str, Any] = json.loads(lines[-1].removeprefix(_MARK))
    if "error" in answer:
        raise (BackendUnavailableError if answer["unavailable"] else BackendError)(answer["error"])
    return Figures(**answer)


def measure_here(bundle: Bundle, name: str, artifact: str | None, steps: int, streams: int) -> Figures:
    """As `measure`, in this process: memory and load time are only right where nothing was opened before."""
    simulator = facts_of(name).runs_on == "simulator"
    steps = min(steps, 500) if simulator else steps
    x = bundle.golden[0].astype(np.float32)
    before, start = resident_kb(), time.perf_counter()
    with open_session(bundle.spec, open_backend(name, bundle, artifact=artifact), None) as session:
        at_once = session.backend.at_once
        session.run(np.resize(x, (at_once, x.shape[1])))
        load_ms, after = 1e3 * (time.perf_counter() - start), resident_kb()
        run_per_second = len(x) * _calls_per_second(lambda: session.run(x))
    times = 1e6 * latencies(bundle, name, artifact, steps)
    streams_per_second = None if simulator or bundle.spec.bidirectional else _streams_per_second(bundle, name, artifact, streams)
    p50, p99, p99_9 = (float(p) for p in np.percentile(times, (50, 99, 99.9)))
    memory = None if before is None or after is None or simulator else after - before
    return Figures(
        name, artifact, simulator, steps, at_once, p50, p99, p99_9, run_per_second, streams, streams_per_second, memory, load_ms
    )  # fmt: skip


def latencies(bundle: Bundle, name: str, artifact: str | None, steps: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds of each of `steps` single steps of a session, raw sample to answer; the golden samples go round.

    Of a converted model that takes T steps at once: of each run of T, divided by T. Of a bidirectional model: of each run of a whole
    sequence, divided by its steps.
    """
    x, whole = bundle.golden[0], bundle.spec.bidirectional
    session = open_session(bundle.spec, open_backend(name, bundle, artifact=artifact), None)
    chunk = int(bundle.lengths.max()) if whole else session.backend.at_once
    runs = -(-steps // chunk)
    times = np.empty(runs)
    answer: Callable[[NDArray[np.float32]], object]
    if whole:
        samples, answer = [part.astype(np.float32) for part in sequences(x, bundle.lengths)], session.run
    elif chunk == 1:
        samples, answer = [np.asarray(row, np.float32) for row in x], session.step
    else:
        samples, answer = list(np.resize(x, (max(len(x) // chunk, 1), chunk, x.shape[1])).astype(np.float32)), session.run
    clock, count = time.perf_counter, len(samples)
    try:
        for n in range(-min(-(-100 // chunk), runs), runs):  # the first ones warm the caches and are overwritten
            sample = samples[n % count]
            start = clock()
            answer(sample)
            times[max(n, 0)] = (clock() - start) / (1 if chunk == 1 else len(sample))
    finally:
        session.close()
    return times


def _streams_per_second(bundle: Bundle, name: str, artifact: str | None, streams: int) -> float | None:
    samples = np.repeat(bundle.golden[0].astype(np.float32)[:, None], streams, axis=1)
    try:
        with open_session(bundle.spec, open_backend(name, bundle, artifact=artifact, streams=streams), streams) as session:
            step = session.step
            return streams * len(samples) * _calls_per_second(lambda: [step(sample) for sample in samples])
    except BackendError as e:  # a device that has no room for so many; its other figures stand
        _log.warning("backend %r with %d streams: %s", name, streams, e)
        return None


def _calls_per_second(call: Callable[[], object]) -> float:
    """Of the median call: what else the machine does now and then is not the backend's."""
    call()  # what a library sets up at its first steps is not its speed
    times: list[float] = []
    while sum(times) < SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1 / statistics.median(times)


def resident_kb() -> float | None:
    """Of this process now, in units of 1,000 bytes; None where /proc does not tell it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1000
    except (OSError, ValueError, IndexError, AttributeError):  # AttributeError: not a Unix
        return None


LEGEND = (
    "p50, p99, p99.9: microseconds of a single step, raw sample to answer, called from Python. run: steps a second of a whole recording.\n"
    "streams: steps a second of all of them together. memory: growth of a fresh process's resident memory from the loaded bundle to the\n"
    "first answer, libraries included, 1 kB = 1,000 bytes. load: the time of that.\n"
)


def head(streams: int) -> str:
    """The table's first line."""
    times = f"{'p50 µs':>10}{'p99 µs':>10}{'p99.9 µs':>10}"
    return f"{'backend':<34}{times}{'run 1/s':>11}{f'{streams} streams 1/s':>18}{'memory kB':>11}{'load ms':>9}\n"


def row(f: Figures) -> str:
    label = f"{f.backend} {f.artifact or ''}".rstrip()
    streams, memory = ("n/a" if v is None else f"{v:.0f}" for v in (f.streams_per_second, f.memory_kb))
    note = f"  (in runs of {f.at_once})" if f.at_once > 1 else ""
    note += "  (a simulator: not the speed of a board)" if f.simulator else ""
    times = f"{f.p50_us:>10.1f}{f.p99_us:>10.1f}{f.p99_9_us:>10.1f}"
    return f"{label:<34}{times}{f.run_per_second:>11.0f}{streams:>18}{memory:>11}{f.load_ms:>9.1f}{note}\n"


def _child() -> None:
    path, name, artifact, steps, streams = json.loads(sys.argv[1])
    try:
        answer = dataclasses.asdict(measure_here(load(path).bundle, name, artifact, steps, streams))
    except BackendError as e:
        answer = {"error": str(e), "unavailable": isinstance(e, BackendUnavailableError)}
    sys.stdout.write(f"\n{_MARK}{json.dumps(answer)}\n")


if __name__ == "__main__":
    _child()
