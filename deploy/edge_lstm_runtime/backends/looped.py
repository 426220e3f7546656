"""Several streams on a backend that knows one: a backend for each. One that answers all of them together has `open_streams` instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Backend, State, check_state


class LoopedStreams(Backend):
    """N networks with N states: the shapes of a `Backend`, with N before F, O, and (layers, H)."""

    def __init__(self, backends: Sequence[Backend]):
        self._backends = backends
        self.name, self.dtype, self.at_once = (
            backends[0].name,
            backends[0].dtype,
            backends[0].at_once,
        )

    def reset(self) -> None:
        for backend in self._backends:
            backend.reset()

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (N, F) -> outputs: (N, O)."""
        return np.stack(
            [backend.step(row) for backend, row in zip(self._backends, features, strict=True)]
        )

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        """features: (steps, N, F) -> outputs: (steps, N, O)."""
        recordings = np.ascontiguousarray(features.swapaxes(0, 1))
        return np.stack(
            [backend.run(rows) for backend, rows in zip(self._backends, recordings, strict=True)],
            axis=1,
        )

    @property
    def state(self) -> State:
        """(h, c), (N, layers, H) each."""
        h, c = zip(*(backend.state for backend in self._backends), strict=True)
        return np.stack(h), np.stack(c)

    @state.setter
    def state(self, value: State) -> None:
        h, c = check_state(
            value, (len(self._backends), *self._backends[0].state[0].shape)
        )  # all of it, before any is set
        for k, backend in enumerate(self._backends):
            backend.state = h[k], c[k]

    def close(self) -> None:
        for backend in self._backends:
            backend.close()


def looped(open_one: Callable[[], Backend], streams: int) -> LoopedStreams:
    """Open a backend for each stream; where one can't be opened, those before it are closed."""
    backends: list[Backend] = []
    try:
        for _ in range(streams):
            backends.append(open_one())
    except BaseException:
        for backend in backends:
            backend.close()
        raise
    return LoopedStreams(backends)
