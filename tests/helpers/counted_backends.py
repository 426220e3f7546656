"""Backends that are counted, fast and slow, right and wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import Backend, BackendError, Bundle
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.backends.reference import open_backend as open_reference
from helpers.plug_ins import replace_backend
from helpers.specs import make_spec

SPEC = make_spec(hidden=16)


class Backends:
    """Counts what is opened and closed, and takes the place of built-in backends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.patch = monkeypatch
        self.opened: list[str] = []
        self.closed: list[str] = []

    def put(self, name: str, make: Callable[[Bundle], Backend]) -> None:
        def opener(bundle: Bundle, *_: Any, **__: Any) -> Backend:
            backend = make(bundle)
            self.opened.append(name)
            backend.close = lambda: self.closed.append(name)  # type: ignore[method-assign]
            return backend

        replace_backend(self.patch, name, open_backend=opener)

    def forget(self) -> None:
        self.opened.clear()
        self.closed.clear()


def fast(bundle: Bundle) -> NumpyBackend:
    return NumpyBackend(bundle.spec, bundle.weights)


def slow(bundle: Bundle) -> Backend:
    """Right, in float64 and with twenty times NumPy's calls."""
    return open_reference(bundle)


def wrong(bundle: Bundle) -> NumpyBackend:
    return NumpyBackend(
        bundle.spec, {**bundle.weights, "head.b": bundle.weights["head.b"] + np.float32(0.1)}
    )


def broken(_: Bundle) -> Backend:
    raise BackendError("the device is gone")
