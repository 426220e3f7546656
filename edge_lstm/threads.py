"""How many threads work. In the epochs of a training: as configured, or the faster of one and
PyTorch's default. In everything else: one.

Threads meet many times in each batch of a small net, and wait for each other by spinning. On an
idle machine they are somewhat faster than one thread. Beside a busy process one of them may have
to wait for a core while the others spin, and a batch can then take a thousand times as long. The
number also decides how sums of floats are grouped, so each run records it: see `Progress.threads`.

What comes before, between and after the epochs is a single pass over the data: metrics, ranges,
figures, the steps of an export, the rows of a comparison. There, more threads never win much, and
lose as much: measured in docs/measurements.md. So `one` thread does it, and neither its time nor
its last bits depend on the other work of the machine.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from statistics import mean, median
from typing import Any, TypedDict

import torch
from torch import nn

WATCHED = 0.05  # seconds, at most, in which threads meet again and again
WAIT = 0.005  # seconds: a meeting takes microseconds, unless a thread waits for a core
LONG_WAIT = 0.02  # seconds: beside a busy process it took 0.05 to 0.14
SHARED = 32_768  # numbers: PyTorch gives each thread so many at least
TURNS = 7  # batches, at most, that are measured with each number of threads
LEAST = 3  # and at least
COST = 0.03  # of the training's time: what a choice may take
FASTER = 0.95  # times one thread's batch: more threads win only by more than this
SLOWER = 1.5  # times the fastest epoch: one that takes longer is slow
SHARE = 0.05  # of the training's time: a further measurement waits until all of them took less

Step = Callable[[], object]


class Choice(TypedDict):
    """epoch: the first one that is trained with so many threads, from 1. why: in words."""

    epoch: int
    threads: int
    why: str


def at(choices: list[Choice], epoch: int) -> int:
    """The number of threads of an epoch. choices: in order, the first one of epoch 1."""
    return [choice["threads"] for choice in choices if choice["epoch"] <= epoch][-1]


@contextmanager
def using(number: int | None = None) -> Iterator[None]:
    """Afterwards PyTorch has as many threads as before. number: of threads until then."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_outside: ContextVar[int | None] = ContextVar("_outside", default=None)


def default() -> int:
    """PyTorch's number of threads, as it was before the outermost `one` that is open."""
    return _outside.get() or torch.get_num_threads()


@contextmanager
def one() -> Iterator[None]:
    """One thread for PyTorch, for the BLAS of NumPy and SciPy, and for OpenMP, until it is closed.

    A library that is loaded meanwhile is not limited: import it first. ONNX Runtime has threads of
    its own, which each session sets.
    """
    from threadpoolctl import threadpool_limits

    token = _outside.set(default())
    try:
        with using(1), threadpool_limits(1):
            yield
    finally:
        _outside.reset(token)


def longest_meeting(number: int, watched: float = WATCHED) -> float:
    """Seconds of the longest of many small steps that so many threads make together.

    watched: seconds in which they do, or until one step is longer than WAIT. It leaves PyTorch with
    its number of threads.
    """
    work = torch.ones(number * SHARED)
    longest = 0.0
    with using(number):
        work.mul_(1.0)  # the threads start
        began = now = time.perf_counter()
        while now < began + watched and longest <= WAIT:
            before = now
            work.mul_(1.0)
            now = time.perf_counter()
            longest = max(longest, now - before)
    return longest


@contextmanager
def rehearsal(
    net: nn.Module,
    optimizer: Any,
    steps: Callable[[], Iterator[object]],
) -> Iterator[Step]:
    """Gives a function that makes a step of training, and undoes all steps afterwards.

    It restores the weights, the buffers, the optimizer's state, PyTorch's random state and its
    number of threads. steps: the steps of an epoch, which begins again at its end.
    """
    weights = copy.deepcopy(net.state_dict())
    state = copy.deepcopy(optimizer.state_dict())
    endless = itertools.chain.from_iterable(steps() for _ in itertools.count())
    try:
        with using(), torch.random.fork_rng(devices=()):
            yield lambda: next(endless)
    finally:
        net.load_state_dict(weights)
        optimizer.load_state_dict(state)


class Threads:
    """Chooses, and says when to choose anew.

    asked: [train] threads, None if automatic. measures: false on a GPU, and for one of several
    processes. The number is then PyTorch's `default`. clock: seconds. meet: `longest_meeting`.
    """

    def __init__(
        self,
        asked: int | None,
        *,
        measures: bool,
        clock: Callable[[], float] = time.perf_counter,
        meet: Callable[[int, float], float] | None = None,
    ) -> None:
        self.default = default()
        self._asked = asked
        self._measures = measures
        self._clock = clock
        self._meet = meet or longest_meeting
        self._spent = 0.0  # seconds, on all measurements
        self._fastest = math.inf  # seconds of a batch, as measured with the number that was chosen

    @property
    def automatic(self) -> bool:
        """Whether there is a choice."""
        return self._asked is None and self._measures and self.default > 1

    def choose(
        self, rehearse: Callable[[], AbstractContextManager[Step]], batches: int
    ) -> tuple[int, str]:
        """The number of threads, and why it is this one.

        rehearse: see `rehearsal`. batches: those that are left to train. The fewer and shorter they
        are, the less is measured.
        """
        if not self.automatic:
            why = "[train] threads" if self._asked else "PyTorch's default"
            return self._asked or self.default, why
        began = self._clock()
        with rehearse() as step:
            chosen, why = self._choose(step, batches)
        self._spent += self._clock() - began
        return chosen, why

    def _choose(self, step: Step, batches: int) -> tuple[int, str]:
        single = min(self._batch(step, 1), self._batch(step, 1))  # libraries start in the first
        allowed = COST * batches * single
        # Beside other work a single batch may take seconds, and meetings show it at once. If one
        # does, once more, because now and then a thread of an idle machine waits too. A long wait
        # is none of these, and after it the threads would be left alone for a while.
        watched = min(WATCHED, allowed / 2)
        waits = [self._meet(self.default, watched)]
        if WAIT < waits[0] < LONG_WAIT:
            waits.append(self._meet(self.default, watched))
        if min(waits) > WAIT:
            why = f"{self.default} wait up to {1e3 * max(waits):.2g} ms for each other"
            return 1, f"{why}: the machine has other work"
        times = self._measure(step, allowed)
        # Waits are rare and long: they show in the mean, and often not in the median.
        faster = all(each(times[self.default]) < FASTER * each(times[1]) for each in (median, mean))
        chosen = self.default if faster else 1
        self._fastest = min(self._fastest, median(times[chosen]))
        return chosen, "a batch takes " + " and ".join(itertools.starmap(_figure, times.items()))

    def _batch(self, step: Step, number: int) -> float:
        """Seconds of a batch with so many threads."""
        torch.set_num_threads(number)
        began = self._clock()
        step()
        return self._clock() - began

    def _measure(self, step: Step, allowed: float) -> dict[int, list[float]]:
        """Seconds of a batch by number of threads, in turns: other work then meets both alike.

        allowed: seconds, after which it ends if there were the fewest turns.
        """
        times: dict[int, list[float]] = {1: [], self.default: []}
        began = self._clock()
        for turn in range(1 + TURNS):
            for number, found in times.items():
                found.append(self._batch(step, number))
            if _lost(times):
                break  # each further wait may take seconds
            if not turn:  # in the first turn libraries and threads start
                times = {number: [] for number in times}
            elif turn >= LEAST and self._clock() - began > allowed:
                break
        return times

    def slow(self, seconds: list[float], batches: int) -> bool:
        """Whether to choose anew. seconds: of each epoch until now. batches: in each of them."""
        slow = seconds[-1] > SLOWER * min(*seconds, batches * self._fastest)
        return slow and self.automatic and self._spent <= SHARE * sum(seconds)


def _lost(times: dict[int, list[float]]) -> bool:
    """Whether the threads took longer already than one thread would for all batches."""
    single, many = times.values()
    return sum(many) > TURNS * median(single)


def _figure(number: int, seconds: list[float]) -> str:
    return f"{1e3 * median(seconds):.3g} ms (mean {1e3 * mean(seconds):.3g}) with {number}"
