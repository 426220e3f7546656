"""Several streams on a backend that knows one stream only: a backend for each.

A backend with `open_streams` answers all of them together and doesn't need this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Backend, State, check_state, checked_streams


class LoopedStreams(Backend):
    """N networks with N states: N stands before F, O and the sizes of the states."""

    def __init__(self, backends: Sequence[Backend]):
        self._backends = backends
        self.name = backends[0].name
        self.dtype = backends[0].dtype
        self.at_once = backends[0].at_once

    def reset(self) -> None:
        for backend in self._backends:
            backend.reset()

    def reset_streams(self, streams: Sequence[int]) -> None:
        chosen = [self._backends[k] for k in checked_streams(streams, len(self._backends))]
        for backend in chosen:
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
        """(N, size) each."""
        each = [backend.state for backend in self._backends]
        return {name: np.stack([state[name] for state in each]) for name in each[0]}

    @state.setter
    def state(self, value: State) -> None:
        one = self._backends[0].state
        count = len(self._backends)
        shapes = {name: (count, *array.shape) for name, array in one.items()}
        arrays = check_state(value, shapes)  # check all before any is set
        for k, backend in enumerate(self._backends):
            backend.state = {name: array[k] for name, array in arrays.items()}

    def interrupt(self) -> None:
        for backend in self._backends:
            backend.interrupt()

    def close(self) -> None:
        for backend in self._backends:
            backend.close()


def looped(open_one: Callable[[], Backend], streams: int) -> LoopedStreams:
    """Open a backend for each stream. If one can't be opened, those before it are closed."""
    backends: list[Backend] = []
    try:
        for _ in range(streams):
            backends.append(open_one())
    except BaseException:
        for backend in backends:
            backend.close()
        raise
    return LoopedStreams(backends)
