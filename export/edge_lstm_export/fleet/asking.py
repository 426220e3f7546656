"""What a board says of itself, by `edge-lstm install --status` there."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from .answers import (
    FAILED,
    NOT_REACHED,
    SHORT,
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
    yes,
)
from .hosts import Host
from .ssh import Ended, at_home, call


@dataclasses.dataclass(frozen=True)
class Status:
    """One board.

    state: as it says, or "unreachable", or "failed" for no answer that can be used. ready: whether
    its service is. serving: the sha256 of what the service runs. Both are None if nothing was asked
    of the service. right: whether it says that all is as it should be, or `why` it is not.
    """

    host: str
    state: str
    runs: Running = UNKNOWN
    ready: bool | None = None
    serving: str | None = None
    why: str | None = None
    right: bool = True

    @property
    def answered(self) -> bool:
        return self.state not in (UNREACHABLE, FAILED, UNDER_WAY, NOT_REACHED)

    @property
    def good(self) -> bool:
        """Whether it runs a bundle, its service, if it was asked, serves that one, and all else is
        right."""
        return self.right and self.runs.digest is not None and self.same is not False

    @property
    def same(self) -> bool | None:
        """Whether the service runs what is installed. None if it was not asked."""
        if self.ready is None:
            return None
        return self.serving is not None and self.serving == self.runs.digest

    def to_dict(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "state": self.state,
            **dataclasses.asdict(self.runs),
            "ready": self.ready,
            "serving": self.serving,
            "why": self.why,
        }


def ask(host: Host, seconds: float) -> Status:
    arguments = ["install", "--status", f"--to={at_home(host.to)}"]
    arguments += [] if host.health is None else [f"--health={host.health}"]
    answer: dict[str, Any] = {}

    def take(line: bytes) -> bool:
        if found := line_object(line, "state"):
            answer.update(found)
        return bool(answer)

    ended = Ended(None, "")
    try:
        ended = call(host, [*arguments, "--json"], take, seconds=seconds)
        if not answer:
            raise no_answer(host, ended)
        return Status(
            host.name,
            text(answer, "state", 20) or "",
            running(answer),
            yes(answer, "ready"),
            text(answer, "serving", SHORT),
            text(answer, "why"),
            ended.code in (0, SSH_FAILED, None),
        )
    except AnswerError as e:
        lost = unreachable(ended) and not answer
        return Status(host.name, UNREACHABLE if lost else FAILED, why=str(e))
    except OSError as e:
        return Status(host.name, FAILED, why=f"can't run ssh: {e.strerror or e}")


@dataclasses.dataclass(frozen=True)
class Asking:
    """The `Work` of a rollout that asks."""

    seconds: float

    def do(self, host: Host, tell: Callable[[str], None]) -> Status:
        tell("asked")
        return ask(host, self.seconds)

    def without(self, host: Host, why: str, *, begun: bool) -> Status:
        return Status(host.name, UNDER_WAY if begun else NOT_REACHED, why=why)


def most_common(found: Mapping[str, Status]) -> str | None:
    """The digest that most boards run, the first one of several. None if no board runs any."""
    digests = [one.runs.digest for one in found.values() if one.runs.digest is not None]
    return Counter(digests).most_common(1)[0][0] if digests else None


def differing(found: Mapping[str, Status]) -> list[str]:
    """The boards that answered and run something else than most boards do, or nothing."""
    common = most_common(found)
    return [name for name, one in found.items() if one.answered and one.runs.digest != common]
