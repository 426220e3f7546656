"""Several independent streams through one model: N sensors on one gateway."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .backends import Backend
from .errors import ConfigError
from .model import Session
from .spec import ModelSpec


class StreamsSession(Session):
    """N streams, each with a state of its own, a step of all of them at a time: a `Session` with N before C, O, and (layers, H).

    step: (N, C) raw units -> (N, O). run: (steps, N, C) -> (steps, N, O). state: "h" and "c" (N, layers, H), "last" (N, C).
    A refused sample is named by its stream and channel, and leaves every stream's state as it was.
    """

    streams: int

    def __init__(self, spec: ModelSpec, backend: Backend, streams: int):
        """backend: with the shapes of N streams, as `open_backend(..., streams=N)` gives it."""
        super().__init__(spec, backend, streams)

    def reset(self, *, stream: int | None = None, streams: Sequence[int] | None = None) -> None:
        """Back to the zero state: one stream, or several, or all where none is named. Raises ConfigError for one that isn't there."""
        if stream is None and streams is None:
            return super().reset()
        if stream is not None and streams is not None:
            raise ConfigError(f"reset got stream={stream!r} and streams={streams!r}; expected one of the two")
        chosen = list(streams or ()) if stream is None else [stream]
        for k in chosen:
            if not isinstance(k, (int, np.integer)) or not 0 <= k < self.streams:
                raise ConfigError(f"stream {k!r} is not there; expected 0 to {self.streams - 1}")
        h, c = self.backend.state
        h[chosen] = c[chosen] = 0
        self.backend.state = h, c
        self._pre.reset(chosen)
        return None
