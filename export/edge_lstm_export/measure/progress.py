"""Lines on how far a long measurement is, and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY = 10.0  # seconds


class Progress:
    """Call it with the number of steps as they are done. A line at most EVERY seconds, none at the
    end."""

    def __init__(
        self,
        say: Callable[[str], None],
        label: str,
        total: int,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._say = say
        self._label = label
        self._total = total
        self._clock = clock
        self._started = self._said = clock()
        self._done = 0

    def __call__(self, steps: int) -> None:
        self._done += steps
        now = self._clock()
        if now - self._said < EVERY or self._done >= self._total:
            return
        self._said = now
        left = (now - self._started) / self._done * (self._total - self._done)
        time_left = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min"
        self._say(
            f"  {self._label}: {self._done:,} of {self._total:,} steps, about {time_left} left"
        )
