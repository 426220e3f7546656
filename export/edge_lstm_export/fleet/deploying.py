"""A bundle to one board, by `edge-lstm install` there: all steps are one process on the board.

So a connection that is lost leaves no board half-way, and nothing is kept here. A board that has
the bundle says so.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from .answers import (
    FAILED,
    NOT_REACHED,
    RESULTS,
    SSH_FAILED,
    UNDER_WAY,
    UNKNOWN,
    UNREACHABLE,
    AnswerError,
    Running,
    line_object,
    no_answer,
    running,
    text,
    unreachable,
)
from .asking import ask
from .hosts import Host
from .package import Package
from .ssh import Ended, at_home, call

DONE = ("installed", "already")
BUSY = "another process holds it"  # of a board on which an earlier call goes on
AGAIN = 1.0  # seconds until such a board is tried again
STATUS = 30.0  # seconds for what runs on a board after a failure


@dataclasses.dataclass(frozen=True)
class Deployed:
    """One board at the end.

    result: of the board ("installed", "already", "rolled-back", "refused"), or "unreachable",
    "failed" (no answer that can be used), "not reached" (nothing was sent), "under way" (left
    alone). step: the last one that began there. runs: what runs there, as far as the board said.
    """

    host: str
    result: str
    runs: Running = UNKNOWN
    step: str | None = None
    why: str | None = None

    @property
    def good(self) -> bool:
        return self.result in DONE

    def __str__(self) -> str:
        return f"{self.result}: {self.why}" if self.why else self.result

    def to_dict(self) -> dict[str, Any]:
        facts = dataclasses.asdict(self.runs)
        return {
            "host": self.host, "result": self.result, **facts, "step": self.step, "why": self.why
        }  # fmt: skip


def arguments(host: Host) -> list[str]:
    """Of the host's command, for a deploy."""
    paths = {"to": host.to, "trusted": host.trusted, "remember": host.remember}
    options = [f"--{key}={at_home(path)}" for key, path in paths.items() if path is not None]
    others = {"reload": host.reload, "health": host.health}
    options += [f"--{key}={value}" for key, value in others.items() if value is not None]
    if host.watch is not None:
        options.append(f"--watch={host.watch:g}")
    if host.allow_downgrade:
        options.append("--allow-downgrade")
    return ["install", "-", *options, "--json"]


def deploy(host: Host, package: Package, tell: Callable[[str], None], seconds: float) -> Deployed:
    """tell: gets each step as it begins. seconds: for all of them.

    A board that is busy with an earlier call, as one that was killed here, is waited for.
    """
    end = time.monotonic() + seconds
    while True:
        found = _deployed(host, package, tell, end - time.monotonic())
        busy = found.result == "refused" and not found.step and BUSY in (found.why or "")
        if not busy or time.monotonic() + AGAIN > end:
            return found
        tell("wait")
        time.sleep(AGAIN)


def _deployed(
    host: Host, package: Package, tell: Callable[[str], None], seconds: float
) -> Deployed:
    answer: dict[str, Any] = {}
    step = None

    def take(line: bytes) -> bool:
        nonlocal step
        if (found := line_object(line, "step")) and "result" not in found:
            step = text(found, "step", 20) or ""
            tell(step)
            return False
        if found := line_object(line, "result"):
            answer.update(found)
        return bool(answer)

    ended = Ended(None, "")
    try:
        ended = call(host, arguments(host), take, data=package.data, seconds=seconds)
        if not answer:
            raise no_answer(host, ended, begun=step is not None)
        return _told(host, answer, ended, package)
    except AnswerError as e:
        lost = unreachable(ended) and step is None and not answer
        return Deployed(host.name, UNREACHABLE if lost else FAILED, step=step, why=str(e))
    except OSError as e:
        return Deployed(host.name, FAILED, step=step, why=f"can't run ssh: {e.strerror or e}")


@dataclasses.dataclass(frozen=True)
class Deploying:
    """The `Work` of a rollout that deploys. seconds: for each board, without what it watches."""

    package: Package
    seconds: float

    def do(self, host: Host, tell: Callable[[str], None]) -> Deployed:
        """After a failure the board is asked what it runs, if it can be reached."""
        watched = 2 * (host.watch or 0)  # until it is healthy, and then as long
        found = deploy(host, self.package, tell, self.seconds + watched)
        if found.good or found.step is None:
            return found
        runs = ask(host, STATUS).runs
        return dataclasses.replace(found, runs=runs if runs.digest else found.runs)

    def without(self, host: Host, why: str, *, begun: bool) -> Deployed:
        return Deployed(host.name, UNDER_WAY if begun else NOT_REACHED, why=why)


def _told(host: Host, answer: dict[str, Any], ended: Ended, package: Package) -> Deployed:
    """Raises AnswerError for an answer that can't be believed."""
    result = text(answer, "result", 20) or ""
    if result not in RESULTS:
        raise AnswerError(f"its answer is {result!r}, expected one of {', '.join(RESULTS)}")
    after = (SSH_FAILED, None)  # the connection was lost, or did not end, after the answer
    if ended.code not in after and (ended.code == 0) != (result in DONE):
        raise AnswerError(f"it said {result!r} and ended with code {ended.code}; ask it again")
    runs = running(answer)
    if result in DONE and runs.digest != package.digest:
        raise AnswerError(
            f"it said {result!r} and runs other bytes (sha256 {(runs.digest or 'unknown')[:12]}); "
            "look at the folder there"
        )
    if result not in DONE:  # what was sent does not run there
        was = answer.get("was")
        runs = running(was) if isinstance(was, dict) else UNKNOWN
    return Deployed(host.name, result, runs, text(answer, "step", 20), text(answer, "why"))
