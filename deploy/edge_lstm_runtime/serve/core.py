"""The queue, and the worker that answers what is in it.

Transports put messages in from any thread. The worker takes all that wait, answers those of one
stream together, and hands each answer back. Order within a stream stays.

A state is saved when every answer has reached its reader, so that a message is either in the state
or comes again: a transport that waits for acknowledgements says how many are missing.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..errors import ConfigError, EdgeLstmError
from . import payload, together
from .live import Live
from .metrics import sample, text_of
from .models import Served, ServedModel, say
from .notify import notify, watchdog_seconds
from .stream import BACKEND, Work, joined

LIMIT = 10_000  # messages that wait
AT_ONCE = 512  # messages that the worker takes
TOGETHER = 64  # messages that are answered together: more gain no time, and wait for each other
PATIENCE = 0.5  # seconds in which one more answer arrives, before a state is saved
AGAIN = 1.0  # seconds until the next try, if none does
FULL = "queue"  # reasons of a refusal, beside those of a stream
STREAMS = "streams"


@dataclasses.dataclass(frozen=True)
class Message:
    """form: of the payload, see `payload.FORMS`. reply: called by the worker with the answer."""

    model: str
    stream: str
    data: bytes
    form: str
    reply: Callable[[bytes], None]


@dataclasses.dataclass(frozen=True)
class Options:
    """states: the folder, None to keep none. every: seconds between two savings of the states."""

    states: Path | None = None
    every: float = 30.0
    limit: int = LIMIT


class Core:
    """models: by name. failed: the worker's error, of a bug. live: what the page shows."""

    def __init__(self, served: Mapping[str, Served], options: Options):
        self.models = {n: ServedModel(n, s, options.states) for n, s in served.items()}
        self.live = Live()
        self.failed: BaseException | None = None
        self.on_end: Callable[[], None] = lambda: None
        self.outstanding: list[Callable[[], int]] = []  # answers of a transport that may be lost
        self._options = options
        self._queue: deque[Message] = deque()
        self._orders: deque[Callable[[], None]] = deque()  # to be done between two messages
        self._ready = threading.Condition()
        self._stopping = False
        self._saved = time.monotonic()
        self._tried = 0.0  # when answers were on the way for too long
        self._answered = False  # a step since the watchdog was last fed
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    # --- for transports, from any thread ---

    def put(self, message: Message, wait: float | None = 0.0) -> bool:
        """Whether the queue took it, after at most `wait` seconds. None: as long as it runs."""
        with self._ready:
            self._ready.wait_for(
                lambda: len(self._queue) < self._options.limit or self._stopping, wait
            )
            if len(self._queue) >= self._options.limit or self._stopping:
                self.models[message.model].counts.refused[FULL] += 1
                return False
            self._queue.append(message)
            self._ready.notify_all()
        return True

    def order(self, what: Callable[[], None]) -> None:
        """Have the worker do it between two messages."""
        with self._ready:
            self._orders.append(what)
            self._ready.notify_all()

    @property
    def ready(self) -> bool:
        return self._thread.is_alive() and not self._stopping

    def metrics(self) -> str:
        """In Prometheus' text."""
        return text_of(self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        now = time.monotonic()
        yield "queue_messages", sample("queue_messages", len(self._queue), {})
        yield "queue_limit", sample("queue_limit", self._options.limit, {})
        if self._options.states is not None:
            yield "saved_age_seconds", sample("saved_age_seconds", now - self._saved, {})
        for name, model in self.models.items():
            served = model.served
            facts = {"model": name, "backend": served.backend, "artifact": served.artifact or ""}
            yield "model_info", sample("model_info", 1, {**facts, "sha256": served.digest})
            yield "streams", sample("streams", len(model.streams), {"model": name})
            yield from model.counts.lines(name, now)

    # --- for the command ---

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer what waits, save the states, end. No message is taken any more."""
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
        self._thread.join()

    def swap(self, name: str, served: Served) -> int:
        """Replace a model between two messages. Returns how many streams keep their states.

        Raises ConfigError if its channels are others than before: no sample would fit.
        """
        model = self.models[name]
        before = model.served.model.spec.inputs.names
        after = served.model.spec.inputs.names
        if before != after:
            raise ConfigError(
                f"{served.path} has the channels {list(after)}; expected {list(before)} as before: "
                "start the service again for others"
            )
        done = threading.Event()
        kept = []

        def order() -> None:
            kept.append(model.swap(served))
            done.set()

        self.order(order)
        if not done.wait(60.0):
            raise ConfigError(f"{served.path}: the worker did not take it within a minute")
        return kept[0]

    # --- the worker ---

    def _run(self) -> None:
        try:
            for model in self.models.values():
                model.restore()
            feed = watchdog_seconds() / 3
            fed = time.monotonic()
            while True:
                messages = self._next(min(feed or 1.0, 1.0))
                self._answer(messages)
                while self._orders:
                    self._orders.popleft()()
                now = time.monotonic()
                if feed and now - fed >= feed:
                    fed = now
                    self._feed()
                if now - self._saved >= self._options.every and now - self._tried >= AGAIN:
                    self._save()
                if self._stopping and not self._queue:
                    break
            self._save(last=True)
            for model in self.models.values():
                model.close()
        except BaseException as e:  # told by the command, in its own thread
            self.failed = e
        finally:
            self.on_end()

    def _next(self, seconds: float) -> list[Message]:
        with self._ready:
            if not self._queue and not self._orders and not self._stopping:
                self._ready.wait(seconds)
            taken = [self._queue.popleft() for _ in range(min(AT_ONCE, len(self._queue)))]
            if taken:
                self._ready.notify_all()
        return taken

    def _answer(self, messages: list[Message]) -> None:
        models: dict[tuple[str, str], dict[str, list[Message]]] = {}
        for message in messages:
            streams = models.setdefault((message.model, message.form), {})
            streams.setdefault(message.stream, []).append(message)
        for (name, form), streams in models.items():
            groups: dict[str, list[Message]] = {}
            for stream, group in streams.items():
                groups[stream] = group
                if sum(map(len, groups.values())) >= TOGETHER:
                    self._answer_groups(self.models[name], form, groups)
                    groups = {}
            if groups:
                self._answer_groups(self.models[name], form, groups)

    def _answer_groups(
        self, model: ServedModel, form: str, groups: dict[str, list[Message]]
    ) -> None:
        """groups: the messages by stream, which are answered together."""
        start = time.perf_counter()
        jobs = {}
        for name, group in groups.items():
            try:
                jobs[name] = model.stream(name), [message.data for message in group]
            except EdgeLstmError as e:
                self._refuse(model, group, e)
        found = dict(zip(jobs, together.answer(list(jobs.values()), form), strict=True))
        seconds = time.perf_counter() - start
        works = {}
        for name, work in found.items():
            if isinstance(work, Work):
                works[name] = work
            else:
                self._refuse(model, groups[name], work)
        if not works:
            return
        whole = joined(list(works.values()))
        model.counts.take(whole, seconds, time.monotonic())
        self._answered |= bool(len(whole.xs))
        for name, work in works.items():
            for message, answer in zip(groups[name], work.answers, strict=True):
                message.reply(answer)
            self.live.show(model, name, work, seconds / max(1, len(whole.xs)))
            if not model.streams[name].samples:
                model.forget(name)

    def _refuse(self, model: ServedModel, group: list[Message], e: EdgeLstmError) -> None:
        """Too many streams, or the backend has no session any more."""
        reason = STREAMS if isinstance(e, ConfigError) else BACKEND
        model.counts.refused[reason] += len(group)
        for message in group:
            message.reply(payload.error("", str(e)))

    def _feed(self) -> None:
        """Tell the watchdog that steps are answered. If no sample came, a golden one is tried."""
        if not self._answered:
            try:
                for model in self.models.values():
                    model.probe()
            except EdgeLstmError as e:
                say(f"a step failed, and the watchdog is not fed: {e}")
                return
        self._answered = False
        notify("WATCHDOG=1")

    def _save(self, *, last: bool = False) -> None:
        """Save all states, if all answers are where they belong, or if it is the last time."""
        if self._options.states is None:
            return
        least = self._missing()
        end = time.monotonic() + PATIENCE
        while least:
            time.sleep(0.001)
            if (now := time.monotonic()) > end:  # the broker is away, or full
                if last:
                    break
                self._tried = now
                return
            if (missing := self._missing()) < least:
                least = missing
                end = now + PATIENCE
        try:
            for model in self.models.values():
                model.save()
        except OSError as e:
            say(f"the states are not saved: {e.filename}: {e.strerror}")
        self._saved = time.monotonic()

    def _missing(self) -> int:
        """Answers that are on the way."""
        return sum(count() for count in self.outstanding)
