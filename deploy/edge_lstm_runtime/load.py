"""The two verbs of the board: load a bundle, open a session on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .backends.registry import open_backend
from .errors import ConfigError
from .model.bundle import Bundle, read_bundle
from .model.spec import ModelSpec
from .session import Session, StreamsSession, open_session
from .verify.auto import choose_backend
from .verify.check import verify_backend


class Model:
    """A loaded bundle."""

    def __init__(self, bundle: Bundle):
        self.bundle = bundle

    @property
    def spec(self) -> ModelSpec:
        return self.bundle.spec

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.bundle.manifest

    @overload
    def session(
        self,
        backend: str = "numpy",
        *,
        artifact: str | None = None,
        verify: bool = True,
        streams: None = None,
    ) -> Session: ...

    @overload
    def session(
        self,
        backend: str = "numpy",
        *,
        artifact: str | None = None,
        verify: bool = True,
        streams: int,
    ) -> StreamsSession: ...

    def session(
        self,
        backend: str = "numpy",
        *,
        artifact: str | None = None,
        verify: bool = True,
        streams: int | None = None,
    ) -> Session:
        """Open a backend: "numpy", "onnx", "rknn", "rknn-sim" (desktop), "reference", or "auto", the fastest that is right.

        artifact: for the NPU backends, which converted member to run, such as "rk3588-fp16.rknn"; may be left out where there is one.
        One that takes T steps at once, such as "rk3588-fp16-t8.rknn", serves `run`; `step`, and the rows of a `run` that fill no chunk, are
        computed by NumPy on the same state. Of a bidirectional model T is the length of the sequences that it takes; NumPy computes others.
        verify: a converted model first runs golden samples of the bundle, and is refused with BackendError where its answers are out of
        tolerance; "auto" takes another backend then.
        streams: N independent streams, answered together: see StreamsSession. None, not 1, for the plain session.
        Raises BackendUnavailableError where this machine lacks what the backend needs.
        """
        if streams is not None and (type(streams) is not int or streams < 1):
            raise ConfigError(f"streams is {streams!r}; expected a whole number from 1")
        if backend == "auto":
            opened = choose_backend(self.bundle, artifact=artifact, streams=streams).backend
        else:
            opened = open_backend(backend, self.bundle, artifact=artifact, streams=streams)
            if verify:
                verify_backend(self.bundle, opened, backend, artifact, streams)
        return open_session(self.spec, opened, streams)

    def features(self, xs: ArrayLike) -> NDArray[np.float64]:
        """xs: (steps, C) raw units from the start of a recording -> (steps, F) what the network sees."""
        return self.spec.features(xs)


def load(path: str | os.PathLike[str]) -> Model:
    """Read a bundle, checking every byte of it. Raises BundleError."""
    return Model(read_bundle(path))
