"""The speed, memory and load time of a backend on this machine.

Each backend is measured in a fresh process, so that none profits from another.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import apart, log
from ..backends.registry import facts_of, open_backend
from ..errors import BackendError, BackendUnavailableError, EdgeLstmError
from ..loading import load
from ..model.bundle import Bundle
from ..session import Session, open_session
from .golden import sequences
from .limit import Opened, within

SECONDS = 0.3  # for each of the two rates, or longer for at least one round
_ERRORS = (BackendUnavailableError, BackendError, EdgeLstmError)  # a subclass before its base


class EndedError(BackendError):
    """A backend ended its process without an answer."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """The figures of one backend, with the golden samples, called from Python.

    simulator           whether it simulates a device
    steps               the number of single steps that were timed, at most 500 for a simulator
    at_once             the number of steps that it takes at once
    p50_us, p99_us, p99_9_us
                        microseconds of a single step, raw sample to answer. If a converted model
                        takes T steps at once: of a run of T, divided by T. For a bidirectional
                        model: of a run of a whole sequence, divided by its steps
    run_per_second      steps a second in `run` of the golden samples as one recording
    streams_per_second  steps a second of all `streams` streams together, in `step` of one session.
                        None for a simulator (it would be built anew for each stream), for a
                        bidirectional model, and if a device can't have so many
    memory_kb           growth of the process's resident memory from the loaded bundle to the first
                        answer, with the backend's library, 1 kB = 1,000 bytes. None for a simulator
                        and if /proc does not tell it
    load_ms             milliseconds from the loaded bundle to the first answer, with the import of
                        the library
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


def measure(
    path: str | os.PathLike[str],
    name: str,
    artifact: str | None,
    steps: int,
    streams: int,
    trusted: str | os.PathLike[str] | None = None,
) -> Figures:
    """Measure in a separate process, which reads the bundle again. trusted: of `load`.

    Raises BackendUnavailableError and BackendError as the backend does, or if the process died, and
    EdgeLstmError for another error of ours, such as a bundle that is gone meanwhile.
    """
    keys = None if trusted is None else os.fspath(trusted)
    request = [os.fspath(path), name, artifact, steps, streams, keys]
    done = subprocess.run(
        apart.command("verify.bench", request),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=apart.variables(),
        check=False,
    )
    answer: dict[str, Any] | None = apart.answered(done.stdout.decode(errors="replace"))
    if answer is None:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise EndedError(
            f"backend {name!r} ended its process with code {done.returncode}"
            f"{': ' + said[0] if said else ''}"
        )
    if "error" in answer:
        raise _ERRORS[answer["kind"]](answer["error"])
    return Figures(**answer)


def measure_here(
    bundle: Bundle, name: str, artifact: str | None, steps: int, streams: int
) -> Figures:
    """As `measure`, in this process. Memory and load time are right only if it is a fresh one."""
    simulator = facts_of(name).runs_on == "simulator"
    steps = min(steps, 500) if simulator else steps
    x = bundle.golden[0].astype(bundle.spec.inputs.sample_dtype)
    before = resident_kb()
    start = time.perf_counter()

    def work(opened: Opened) -> Session:
        backend = opened(open_backend(name, bundle, artifact=artifact))
        session = open_session(bundle, backend, None)
        session.run(np.resize(x, (backend.at_once, x.shape[1])))
        session.hand_over()  # to the thread that waits
        return session

    with within(name, 1, None, work) as session:
        at_once = session.backend.at_once
        load_ms = 1e3 * (time.perf_counter() - start)
        after = resident_kb()
        run_per_second = len(x) * _calls_per_second(lambda: session.run(x))
    times = 1e6 * latencies(bundle, name, artifact, steps)
    streams_per_second = (
        None
        if simulator or bundle.spec.whole
        else _streams_per_second(bundle, name, artifact, streams)
    )
    p50, p99, p99_9 = (float(p) for p in np.percentile(times, (50, 99, 99.9)))
    memory = None if before is None or after is None or simulator else after - before
    return Figures(
        backend=name,
        artifact=artifact,
        simulator=simulator,
        steps=steps,
        at_once=at_once,
        p50_us=p50,
        p99_us=p99,
        p99_9_us=p99_9,
        run_per_second=run_per_second,
        streams=streams,
        streams_per_second=streams_per_second,
        memory_kb=memory,
        load_ms=load_ms,
    )


def latencies(
    bundle: Bundle, name: str, artifact: str | None, steps: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds of each of `steps` single steps of a session, raw sample to answer, (runs,).

    The golden samples are repeated as often as needed. If a converted model takes T steps at once:
    of each run of T, divided by T. For a bidirectional model: of each run of a whole sequence,
    divided by its steps.
    """
    x = bundle.golden[0].astype(bundle.spec.inputs.sample_dtype)
    whole = bundle.spec.whole
    session = open_session(bundle, open_backend(name, bundle, artifact=artifact), None)
    chunk = int(bundle.lengths.max()) if whole else session.backend.at_once
    runs = -(-steps // chunk)
    times = np.empty(runs)
    single = not whole and chunk == 1
    answer: Callable[[NDArray[Any]], object] = session.step if single else session.run
    if whole:
        samples = sequences(x, bundle.lengths)
    elif single:
        samples = list(x)
    else:
        chunks = np.resize(x, (max(len(x) // chunk, 1), chunk, x.shape[1]))
        samples = list(chunks)
    clock = time.perf_counter
    count = len(samples)
    warming = min(-(-100 // chunk), runs)  # runs that warm the caches and are overwritten
    try:
        for n in range(-warming, runs):
            sample = samples[n % count]
            start = clock()
            answer(sample)
            times[max(n, 0)] = (clock() - start) / (1 if chunk == 1 else len(sample))
    finally:
        session.close()
    return times


def _streams_per_second(
    bundle: Bundle, name: str, artifact: str | None, streams: int
) -> float | None:
    x = bundle.golden[0].astype(bundle.spec.inputs.sample_dtype)
    samples = np.repeat(x[:, None], streams, axis=1)
    try:
        with open_session(
            bundle, open_backend(name, bundle, artifact=artifact, streams=streams), streams
        ) as session:
            step = session.step
            return (
                streams
                * len(samples)
                * _calls_per_second(lambda: [step(sample) for sample in samples])
            )
    except BackendError as e:  # a device without room for so many still has its other figures
        log.warning("backend %r with %d streams: %s", name, streams, e)
        return None


def _calls_per_second(call: Callable[[], object]) -> float:
    """Calls a second, by the median call: other work of the machine disturbs a few calls only."""
    call()  # a library's set-up in its first steps is not part of the speed
    times: list[float] = []
    while sum(times) < SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1 / statistics.median(times)


def resident_kb() -> float | None:
    """The resident memory of this process in units of 1,000 bytes. None if /proc lacks it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1000
    except (OSError, ValueError, IndexError, AttributeError):  # AttributeError: not a Unix
        return None


LEGEND = (
    "p50, p99, p99.9: microseconds of a single step, raw sample to answer, called from Python. "
    "run: steps a second of a whole recording.\n"
    "streams: steps a second of all of them together. "
    "memory: growth of a fresh process's resident memory from the loaded bundle to the\n"
    "first answer, libraries included, 1 kB = 1,000 bytes. load: the time of that.\n"
)


def head(streams: int) -> str:
    """The table's first line."""
    times = f"{'p50 µs':>10}{'p99 µs':>10}{'p99.9 µs':>10}"
    rates = f"{'run 1/s':>11}{f'{streams} streams 1/s':>18}"
    return f"{'backend':<34}{times}{rates}{'memory kB':>11}{'load ms':>9}\n"


def row(f: Figures) -> str:
    """A line of the table."""
    label = f"{f.backend} {f.artifact or ''}".rstrip()
    streams, memory = (
        "n/a" if v is None else f"{v:.0f}" for v in (f.streams_per_second, f.memory_kb)
    )
    note = f"  (in runs of {f.at_once})" if f.at_once > 1 else ""
    note += "  (a simulator: not the speed of a board)" if f.simulator else ""
    times = f"{f.p50_us:>10.1f}{f.p99_us:>10.1f}{f.p99_9_us:>10.1f}"
    rates = f"{f.run_per_second:>11.0f}{streams:>18}"
    return f"{label:<34}{times}{rates}{memory:>11}{f.load_ms:>9.1f}{note}\n"


def _child() -> None:
    path, name, artifact, steps, streams, trusted = apart.requested()
    try:
        bundle = load(path, trusted=trusted).bundle
        answer = dataclasses.asdict(measure_here(bundle, name, artifact, steps, streams))
    except EdgeLstmError as e:
        kind = next(k for k, error in enumerate(_ERRORS) if isinstance(e, error))
        answer = {"error": str(e), "kind": kind}
    apart.answer(answer)


if __name__ == "__main__":
    _child()
