"""Converted models of a fixed number of steps, made to take any number of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import log
from ..errors import BackendError
from ..model.spec import ModelSpec
from .base import CLOSED, Backend, State, WholeSequence
from .numpy import NumpyBackend, numpy_backend


class ChunkBackend(Backend):
    """Whole chunks go to the converted model. NumPy computes the other steps on the same state.

    These are the last rows of a `run` if they fill no chunk, and each `step`. One of the two,
    `_holder`, has the state. It is handed over before the other one computes.
    """

    def __init__(self, chunks: Backend, single: NumpyBackend, steps: int):
        """chunks: takes multiples of `steps` rows in `run`. Its `step` is not used."""
        self.name = chunks.name
        self.at_once = steps
        self._chunks = chunks
        self._single = single
        self._holder: Backend = single
        self._said = self._closed = False

    def reset(self) -> None:
        self._single.reset()
        self._holder = self._single

    def step(self, features: NDArray[Any]) -> NDArray[Any]:
        if not self._said:
            log.info(
                "this converted model takes %d steps at a time; single steps are computed by NumPy",
                self.at_once,
            )
            self._said = True
        return self._with_state(self._single).step(features)

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        if not len(features):
            return self._with_state(self._single).run(features)
        whole = len(features) - len(features) % self.at_once
        parts = [(self._chunks, features[:whole]), (self._single, features[whole:])]
        return np.concatenate(
            [self._with_state(backend).run(rows) for backend, rows in parts if len(rows)]
        )

    def _with_state(self, backend: Backend) -> Backend:
        if self._closed:
            raise BackendError(CLOSED)
        if self._holder is not backend:
            backend.state = self._holder.state
            self._holder = backend
        return backend

    @property
    def state(self) -> State:
        return self._holder.state

    @state.setter
    def state(self, value: State) -> None:
        self._single.state = value
        self._holder = self._single

    def interrupt(self) -> None:
        self._chunks.interrupt()

    def close(self) -> None:
        self._closed = True
        self._chunks.close()


class SequenceBackend(WholeSequence):
    """Bidirectional: sequences of `steps` steps go to the converted model, others to NumPy."""

    def __init__(self, converted: Backend, other: Backend, steps: int):
        self.name = converted.name
        self.at_once = steps
        self._converted = converted
        self._other = other
        self._said = self._closed = False

    def run(self, features: NDArray[Any]) -> NDArray[Any]:
        if self._closed:
            raise BackendError(CLOSED)
        if len(features) == self.at_once:
            return self._converted.run(features)
        if not self._said:
            log.info(
                "this converted model takes sequences of %d steps; one of %d is computed by NumPy",
                self.at_once,
                len(features),
            )
            self._said = True
        return self._other.run(features)

    def interrupt(self) -> None:
        self._converted.interrupt()

    def close(self) -> None:
        self._closed = True
        self._converted.close()


def any_length(
    backend: Backend, steps: int, spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]]
) -> Backend:
    """A backend for any number of steps, around one that takes `steps` at once.

    It is a SequenceBackend for a bidirectional model, else a ChunkBackend. If `steps` is 1, it is
    the backend itself.
    """
    if spec.whole:
        return SequenceBackend(backend, numpy_backend(spec, weights), steps)
    return backend if steps == 1 else ChunkBackend(backend, NumpyBackend(spec, weights), steps)
