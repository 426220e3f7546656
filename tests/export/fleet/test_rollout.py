"""Who is next: canaries, waves, failures, and signals."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from edge_lstm_export.fleet.hosts import Host
from edge_lstm_export.fleet.rollout import Plan, Rollout


@dataclasses.dataclass(frozen=True)
class Result:
    good: bool
    word: str = ""


class Work:
    """Fails for some names. most: that were under way at a time."""

    def __init__(self, bad: Sequence[str] = (), seconds: float = 0.0):
        self.bad = bad
        self.seconds = seconds
        self.begun: list[str] = []
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.gate = threading.Event()

    def do(self, host: Host, tell: Callable[[str], None]) -> Result:
        with self.lock:
            self.begun.append(host.name)
            self.now += 1
            self.most = max(self.most, self.now)
        tell("check")
        time.sleep(self.seconds)
        if host.name == "gate":
            assert self.gate.wait(20)
        with self.lock:
            self.now -= 1
        return Result(host.name not in self.bad, "done")

    def without(self, host: Host, why: str, *, begun: bool) -> Result:
        assert host.name in self.begun if begun else host.name not in self.begun
        return Result(False, f"{'left' if begun else 'none'}: {why}")


class Heard:
    def __init__(self, on_step: Callable[[str], None] = lambda _: None):
        self.lines: list[str] = []
        self.on_step = on_step

    def step(self, host: str, step: str) -> None:
        assert step == "check"
        self.on_step(host)

    def done(self, host: str, found: Result) -> None:
        self.lines.append(f"{host} {found.good}")

    def say(self, line: str) -> None:
        self.lines.append(line)


def hosts(*names: str) -> list[Host]:
    return [Host(name, name, "x") for name in names]


def run(work: Work, plan: Plan, *names: str, heard: Heard | None = None) -> dict[str, Result]:
    rollout: Rollout[Result] = Rollout(work, heard or Heard(), plan)
    return rollout.run(plan.stages(hosts(*names)))


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (Plan(), ["canary a", "wave 1 bcdefgh"]),
        (Plan(canary=2, wave=3), ["canary ab", "wave 1 cde", "wave 2 fgh"]),
        (Plan(canary=0, wave=5), ["wave 1 abcde", "wave 2 fgh"]),
        (Plan(canary=9), ["canary abcdefgh"]),
    ],
)
def test_stages(plan: Plan, expected: list[str]) -> None:
    stages = plan.stages(hosts(*"abcdefgh"))
    assert [f"{name} {''.join(h.name for h in boards)}" for name, boards in stages] == expected


def test_a_stage_ends_before_the_next_and_no_more_than_parallel_are_under_way() -> None:
    work = Work(seconds=0.02)
    found = run(work, Plan(canary=2, wave=4, parallel=3), *"abcdefghij")
    assert list(found) == list("abcdefghij")
    assert all(one.good for one in found.values())
    assert work.most == 3
    assert (set(work.begun[:2]), set(work.begun[2:6])) == (set("ab"), set("cdef"))


def test_a_canary_that_fails_is_the_only_one_touched() -> None:
    work = Work(bad="a")
    found = run(work, Plan(failures=5), *"abcd")
    assert work.begun == ["a"]
    assert [one.word for one in found.values()] == [
        "done",
        *3 * ["none: not begun, because the canary a failed"],
    ]


def test_a_wave_with_a_failure_is_the_last() -> None:
    work = Work(bad="c")
    found = run(work, Plan(wave=3, parallel=3), *"abcdef")
    assert sorted(work.begun) == list("abcd")
    assert found["e"].word == "none: not begun, because before it c failed"


def test_so_many_failures_are_allowed() -> None:
    work = Work(bad="bce")
    found = run(work, Plan(wave=2, parallel=1, failures=2), *"abcdefgh")
    assert work.begun == list("abcde")
    assert found["f"].word == "none: not begun, because before it b, c, e failed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_lets_those_under_way_end(number: int) -> None:
    """The second one, half a second later, leaves them."""
    work = Work()
    before = signal.getsignal(number)

    def stop(host: str) -> None:
        if host == "gate":
            os.kill(os.getpid(), number)
            threading.Timer(0.5, work.gate.set).start()

    heard = Heard(stop)
    plan = Plan(canary=1, parallel=1)
    rollout: Rollout[Result] = Rollout(work, heard, plan)
    found = rollout.run(plan.stages(hosts("a", "gate", "b")))
    assert rollout.signal == number
    assert found["gate"] == Result(True, "done")
    assert found["b"].word == "none: stopped before its turn"
    assert heard.lines[1].startswith("no further board is begun; gate will end by itself")
    assert signal.getsignal(number) == before


def test_a_second_signal_leaves_them_alone() -> None:
    work = Work()

    def stop(host: str) -> None:
        if host == "gate":
            os.kill(os.getpid(), signal.SIGINT)
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    found = run(work, Plan(canary=0, parallel=1), "gate", "b", heard=Heard(stop))
    work.gate.set()
    assert found["gate"].word.startswith("left: left alone; it ends by itself")
    assert found["b"].word == "none: stopped before its turn"


def test_what_a_thread_raises_comes_out() -> None:
    work = Work()
    work.gate.wait = lambda _: 1 // 0  # type: ignore[assignment]
    with pytest.raises(ZeroDivisionError):
        run(work, Plan(), "gate", "b")
