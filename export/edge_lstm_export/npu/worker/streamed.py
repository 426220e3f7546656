"""A converted model that a vendor's process streams, and the same as a backend.

The worker answers "run", "get_state" and "set_state" with float32, the states one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Backend, ModelSpec
from edge_lstm_runtime.backends.base import State, check_state

from .process import STEP_TIMEOUT, Process


class Streamed(Process):
    """spec: of the network that it was made from. some: steps of a request, few enough that each
    answer comes well inside the time-out."""

    spec: ModelSpec
    some: int

    def run(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """features: (steps, F) -> (steps, O), the state carried."""
        steps = len(features)
        outputs = np.empty((steps, self.spec.output_size), np.float32)
        for start in range(0, steps, self.some):
            part = np.asarray(features[start : start + self.some], np.float32)
            outputs[start : start + self.some] = self.floats("run", part).reshape(len(part), -1)
        return outputs

    def reset(self) -> None:
        self.set_state(self.spec.network.initial_state())

    def get_state(self) -> State:
        """(size,) each, by the network's names, in its order."""
        sizes = self.spec.network.state
        ends = np.cumsum(list(sizes.values()))[:-1]
        return dict(zip(sizes, np.split(self.floats("get_state"), ends), strict=True))

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """state: as `get_state` gives it."""
        parts = [state[name] for name in self.spec.network.state]
        self.floats("set_state", np.concatenate([*parts, np.empty(0, np.float32)]))

    def floats(
        self, operation: str, array: NDArray[Any] | None = None, timeout: float = STEP_TIMEOUT
    ) -> NDArray[np.float32]:
        """The worker's answer. timeout: in seconds. Raises as of Process."""
        content = b"" if array is None else np.ascontiguousarray(array, np.float32).tobytes()
        return np.frombuffer(self.ask(operation, content, timeout=timeout), np.float32)


class StreamedBackend(Backend):
    """A vendor's class has the name."""

    def __init__(self, process: Streamed):
        self._process = process

    def reset(self) -> None:
        self._process.reset()

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        answer: NDArray[Any] = self.run(features[None])[0]
        return answer

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        return self._process.run(features)

    @property
    def state(self) -> State:
        return self._process.get_state()

    @state.setter
    def state(self, value: State) -> None:
        sizes = self._process.spec.network.state
        self._process.set_state(check_state(value, {name: (n,) for name, n in sizes.items()}))

    def close(self) -> None:
        self._process.close()
