"""How a backend is found by its name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import BackendError, BackendUnavailableError, MissingDependencyError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from ..model.bundle import Bundle
from .base import Backend

BUILT_IN = {
    "numpy": "edge_lstm_runtime.backends.numpy",
    "native": "edge_lstm_runtime.backends.native",
    "native-int8": "edge_lstm_runtime.backends.native_int8",
    "onnx": "edge_lstm_runtime.backends.onnx",
    "rknn": "edge_lstm_runtime.backends.rknn.board",
    "reference": "edge_lstm_runtime.backends.reference",
}


ENTRY_POINT_GROUP = "edge_lstm.backends"


def _entry_points() -> tuple[EntryPoint, ...]:
    from importlib.metadata import (
        entry_points,
    )  # here: it takes 15 ms, and the built-in backends don't need it

    return tuple(entry_points(group=ENTRY_POINT_GROUP))


def names() -> list[str]:
    """Every backend that is known here, installed dependencies or not."""
    return sorted({*BUILT_IN, *(p.name for p in _entry_points())})


def open_backend(
    name: str, bundle: Bundle, *, artifact: str | None = None, streams: int | None = None
) -> Backend:
    """Open a backend on a bundle.

    artifact: for NPU backends, which converted member of the bundle to run; None where the bundle has only one.
    streams: N, for a backend that takes the features of N streams, (N, F), at each step; None for one, (F,).
    Raises BackendUnavailableError where this machine lacks what it needs, BackendError for an unknown name and for streams of a
    bidirectional model.
    """
    if streams is not None and bundle.spec.whole:
        raise BackendError(
            f"{streams} streams of a bidirectional model: it answers whole sequences, one after the other, by `run`"
        )
    target: Any
    if name in BUILT_IN:
        module = importlib.import_module(BUILT_IN[name])
        target = module.open_backend
    else:
        points = [point for point in _entry_points() if point.name == name]
        if not points:
            raise BackendError(f"unknown backend {name!r}; known here: auto, {', '.join(names())}")
        try:
            target = points[0].load()
            module = importlib.import_module(points[0].module)
        except (ImportError, MissingDependencyError) as e:
            raise BackendUnavailableError(f"backend {name!r} can't be loaded: {e}") from e
    open_one: Callable[[], Backend] = partial(target, bundle, artifact=artifact)
    if streams is None:
        return open_one()
    if open_streams := getattr(module, "open_streams", None):
        together: Backend = open_streams(bundle, streams, artifact=artifact)
        return together
    from .looped import looped

    return looped(open_one, streams)
