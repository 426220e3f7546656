"""Several streams divided over threads, each with a part of the streams and a state of its own.

For a backend whose steps release Python's lock. Its facts say so (`Facts.threads`).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BackendError
from ..inputs import NUMBERS
from ..inputs.channels import Channels
from .base import CLOSED, Backend, State, check_state, checked_streams

if TYPE_CHECKING:
    from ..model.spec import ModelSpec

# The kernel computes up to 4 streams together. A part begins at a multiple of that, so that every
# stream has the same neighbours, and the same rounding, as without threads.
TOGETHER = 4
_FAR = 1e29  # in standard deviations; the kernel refuses a sample from 1e30 on
Job = Callable[[], Any]


def part_sizes(streams: int, threads: int) -> list[int]:
    """The streams of each part: at most `threads` parts, as even as groups of TOGETHER allow."""
    groups = -(-streams // TOGETHER)
    count = min(threads, groups)
    ends = [min(groups * (k + 1) // count * TOGETHER, streams) for k in range(count)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


class _Worker:
    """A thread that does one job at a time. It doesn't keep the process alive."""

    def __init__(self) -> None:
        self._begin = Lock()
        self._end = Lock()
        self._begin.acquire()
        self._end.acquire()
        self._job: Job | None = None
        self._found: Any = None
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="edge-lstm streams", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while True:
            self._begin.acquire()
            if self._job is None:
                return
            try:
                self._found = self._job()
            except BaseException as e:
                self._error = e
            self._job = None
            self._end.release()

    def begin(self, job: Job) -> None:
        self._job = job
        self._begin.release()

    def wait(self) -> tuple[Any, BaseException | None]:
        self._end.acquire()
        found = self._found, self._error
        self._found = self._error = None
        return found

    def stop(self) -> None:
        self._begin.release()


def _stop(workers: list[_Worker], process: int) -> None:
    if os.getpid() == process:  # a fork has no threads
        for worker in workers:
            worker.stop()
    workers.clear()


class ParallelStreams(Backend):
    """Backends of one network, each for a part of the streams, which answer at the same time.

    The calling thread computes the first part. N stands before F, O and the sizes of the states.
    """

    def __init__(self, parts: Sequence[Backend], sizes: Sequence[int]):
        self._parts = parts
        ends = np.cumsum(sizes).tolist()
        self._slices = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        self._streams: int = ends[-1]
        self.name = parts[0].name
        self.dtype = parts[0].dtype
        self._process = os.getpid()
        self._workers = [_Worker() for _ in parts[1:]]
        self._stop = weakref.finalize(self, _stop, self._workers, self._process)
        self._busy = False

    def _together(self, jobs: Sequence[Job]) -> list[Any]:
        """What the jobs give, one for each part.

        Raises BackendError if one failed: the states of the parts then belong to different steps.
        """
        if self._process != os.getpid():
            raise BackendError(
                "this session's threads are in the process that opened it, and this one is its "
                "fork; open a session here"
            )
        if not self._stop.alive:
            raise BackendError(CLOSED)
        if self._busy:
            raise BackendError(
                "a step of this session was interrupted while its threads ran; open a new one"
            )
        self._busy = True
        for worker, job in zip(self._workers, jobs[1:], strict=True):
            worker.begin(job)
        first: tuple[Any, BaseException | None]
        try:
            first = jobs[0](), None
        except BaseException as e:
            first = None, e
        done = [first, *(worker.wait() for worker in self._workers)]
        self._busy = False
        for (_, error), where in zip(done, self._slices, strict=True):
            if isinstance(error, Exception):
                raise BackendError(
                    f"streams {where.start} to {where.stop - 1} failed, and others may have gone "
                    f"on: {error}; reset the session or set its state"
                ) from error
            if error is not None:
                raise error
        return [found for found, _ in done]

    def reset(self) -> None:
        for part in self._parts:
            part.reset()

    def reset_streams(self, streams: Sequence[int]) -> None:
        chosen = checked_streams(streams, self._streams)
        for part, where in zip(self._parts, self._slices, strict=True):
            part.reset_streams([k - where.start for k in chosen if where.start <= k < where.stop])

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (N, F) -> outputs: (N, O)."""
        row = self._rows(np.asarray(features)[None])[0]
        pairs = zip(self._parts, self._slices, strict=True)
        return np.concatenate(self._together([partial(p.step, row[s]) for p, s in pairs]))

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (steps, N, F) -> outputs: (steps, N, O)."""
        rows = self._rows(features)
        pairs = zip(self._parts, self._slices, strict=True)
        jobs = [partial(p.run, rows[:, s]) for p, s in pairs]
        return np.concatenate(self._together(jobs), axis=1)

    def _rows(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """(steps, N, F) in float32. What a part would refuse is refused before one has begun."""
        with np.errstate(over="ignore"):
            rows = np.asarray(features, np.float32)
        if rows.ndim != 3 or rows.shape[1] != self._streams:
            raise BackendError(
                f"features have shape {rows.shape}, expected (steps, {self._streams}, features)"
            )
        if not np.isfinite(rows).all():
            raise BackendError("features are not finite in float32")
        return rows

    def answerer(
        self, spec: ModelSpec, last: NDArray[np.float64]
    ) -> Callable[[ArrayLike], NDArray[Any] | None] | None:
        found = [
            part.answerer(spec, last[where])
            for part, where in zip(self._parts, self._slices, strict=True)
        ]
        answers = [answer for answer in found if answer is not None]
        if len(answers) < len(found) or not isinstance(spec.inputs, Channels):
            return None
        distances = _FAR * np.array(spec.inputs.std) - np.abs(spec.inputs.mean)
        limit = float(distances.min())
        # Of a model that takes gaps, NaN is left out; for others it is the largest.
        largest = np.maximum if spec.inputs.missing == "refuse" else np.fmax
        pairs = list(zip(answers, self._slices, strict=True))
        shape = last.shape

        def answer(x: ArrayLike) -> NDArray[Any] | None:
            try:
                sample = np.asarray(x)
            except (TypeError, ValueError):
                return None
            if sample.shape != shape or sample.dtype.kind not in NUMBERS:
                return None
            sample = sample.astype(np.float64)
            # No part may refuse what the others take. What is left is for the checks in Python.
            size = largest.reduce(np.abs(sample), axis=None)
            if size > limit or (size != size and largest is np.maximum):
                return None
            jobs = [partial(_taken, part, sample[where]) for part, where in pairs]
            outputs: NDArray[Any] = np.concatenate(self._together(jobs))
            return outputs

        return answer

    @property
    def state(self) -> State:
        """(N, size) each."""
        each = [part.state for part in self._parts]
        return {name: np.concatenate([state[name] for state in each]) for name in each[0]}

    @state.setter
    def state(self, value: State) -> None:
        one = self._parts[0].state
        shapes = {name: (self._streams, *array.shape[1:]) for name, array in one.items()}
        arrays = check_state(value, shapes)  # check all before any is set
        for part, where in zip(self._parts, self._slices, strict=True):
            part.state = {name: array[where] for name, array in arrays.items()}

    def interrupt(self) -> None:
        for part in self._parts:
            part.interrupt()

    def close(self) -> None:
        self._stop()
        for part in self._parts:
            part.close()


def _taken(
    answer: Callable[[ArrayLike], NDArray[Any] | None], sample: NDArray[np.float64]
) -> NDArray[Any]:
    if (found := answer(sample)) is None:
        raise BackendError("a sample was refused")
    return found


def parallel(open_part: Callable[[int], Backend], streams: int, threads: int) -> Backend:
    """Open a backend for each part. If one can't be opened, those before it are closed."""
    sizes = part_sizes(streams, threads)
    if len(sizes) == 1:
        return open_part(streams)
    parts: list[Backend] = []
    try:
        for size in sizes:
            parts.append(open_part(size))
        return ParallelStreams(parts, sizes)
    except BaseException:
        for part in parts:
            part.close()
        raise
