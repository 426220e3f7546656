"""Canaries first, then waves: who is next, who is left out, and what a signal does."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from .hosts import Host

STOPPED = "stopped before its turn"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
TOGETHER = 0.2  # seconds between signals that are one


@dataclasses.dataclass(frozen=True)
class Plan:
    """canary: boards before all others. wave: boards of a wave. parallel: boards at a time.

    failures: boards that may fail before no other one is begun. A canary may not.
    """

    canary: int = 1
    wave: int = 10
    parallel: int = 10
    failures: int = 0

    def stages(self, hosts: Sequence[Host]) -> list[tuple[str, Sequence[Host]]]:
        """The canaries, then the waves: what each is called, and its hosts."""
        rest = range(self.canary, len(hosts), self.wave)
        found = [("canary", hosts[: self.canary])] if self.canary else []
        found += [(f"wave {n}", hosts[at : at + self.wave]) for n, at in enumerate(rest, 1)]
        return [(name, boards) for name, boards in found if boards]


class Found(Protocol):
    @property
    def good(self) -> bool: ...


F = TypeVar("F", bound=Found)
F_co = TypeVar("F_co", bound=Found, covariant=True)


class Work(Protocol[F_co]):
    """What is done with a board, and what is said of one that gets no turn."""

    def do(self, host: Host, tell: Callable[[str], None]) -> F_co:
        """In a thread of its own. tell: gets each step."""

    def without(self, host: Host, why: str, *, begun: bool) -> F_co: ...


class Watcher(Protocol[F]):  # type: ignore[misc]
    """Who is told, in the main thread."""

    def step(self, host: str, step: str) -> None: ...

    def done(self, host: str, found: F) -> None: ...

    def say(self, line: str) -> None: ...


@dataclasses.dataclass
class Rollout(Generic[F]):
    """signal: the number of the signal that stopped it, 0 if none did."""

    work: Work[F]
    watcher: Watcher[F]
    plan: Plan
    signal: int = 0

    def run(self, stages: Sequence[tuple[str, Sequence[Host]]]) -> dict[str, F]:
        """What was found of each host, in the order of the stages.

        The first signal lets the boards that are under way end, and begins no other. The second one
        leaves them alone. Raises what a thread raised.
        """
        self._events: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._found: dict[str, F] = {}
        self._running: set[str] = set()
        self._failed: list[str] = []
        self._why = ""
        self._first = 0.0  # the time of the first signal
        with _signals(lambda number: self._events.put(("", number))):
            for name, hosts in stages:
                self._stage(name, hosts)
        return {host.name: self._found[host.name] for _, hosts in stages for host in hosts}

    def _stage(self, name: str, hosts: Sequence[Host]) -> None:
        canary = name == "canary"
        waiting = list(hosts)
        while True:
            while waiting and not self._why and len(self._running) < self.plan.parallel:
                self._start(waiting.pop(0))
            if not self._running:
                break
            host, event = self._events.get()
            if isinstance(event, int):
                self._take_signal(event, hosts)
            elif isinstance(event, str):
                self.watcher.step(host, event)
            elif isinstance(event, BaseException):
                raise event
            else:
                self._end(host, event, canary)  # type: ignore[arg-type]
        for one in waiting:
            self._found[one.name] = self.work.without(one, self._why, begun=False)

    def _start(self, host: Host) -> None:
        self._running.add(host.name)
        events = self._events

        def work() -> None:
            try:
                found: object = self.work.do(host, lambda step: events.put((host.name, step)))
            except BaseException as e:  # a bug of ours, for the main thread
                found = e
            events.put((host.name, found))

        threading.Thread(target=work, name=host.name, daemon=True).start()

    def _end(self, host: str, found: F, canary: bool) -> None:
        self._running.discard(host)
        self._found[host] = found
        self.watcher.done(host, found)
        if found.good:
            return
        self._failed.append(host)
        if len(self._failed) > (0 if canary else self.plan.failures) and not self._why:
            what = "the canary" if canary else "before it"
            self._why = f"not begun, because {what} {', '.join(self._failed)} failed"

    def _take_signal(self, number: int, hosts: Sequence[Host]) -> None:
        names = ", ".join(sorted(self._running))
        if self.signal and time.monotonic() - self._first < TOGETHER:
            return
        if not self.signal:
            self.signal = number
            self._first = time.monotonic()
            self._why = STOPPED
            self.watcher.say(
                f"no further board is begun; {names} will end by itself (once more: do not wait)"
            )
            return
        for host in hosts:
            if host.name in self._running:
                why = "left alone; it ends by itself, and `edge-lstm fleet status` tells how"
                self._found[host.name] = self.work.without(host, why, begun=True)
        self._running.clear()


@contextlib.contextmanager
def _signals(take: Callable[[int], None]) -> Iterator[None]:
    """Signals are events. One that is ignored stays ignored, and only the main thread takes any."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: signal.getsignal(n) for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda number, _: take(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
