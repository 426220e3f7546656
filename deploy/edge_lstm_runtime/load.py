"""The two verbs of the board: load a bundle, open a session on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .backends.registry import open_backend
from .errors import ConfigError
from .inputs.channels import features
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
    def session(self, backend: str = "auto", *, artifact: str | None = None, verify: bool = True, streams: None = None) -> Session: ...

    @overload
    def session(self, backend: str = "auto", *, artifact: str | None = None, verify: bool = True, streams: int) -> StreamsSession: ...

    def session(self, backend: str = "auto", *, artifact: str | None = None, verify: bool = True, streams: int | None = None) -> Session:
        """Open a backend by its name, such as "numpy" or "rknn" (docs/backends.md), or "auto": the fastest that is right.

        artifact: which converted member to run, such as "rk3588-fp16.rknn"; may be left out if there is one. "auto" tries no other.
        One that takes T steps at once, such as "rk3588-fp16-t8.rknn", serves `run`; `step`, and the rows of a `run` that fill no chunk, are
        computed by NumPy on the same state. Of a bidirectional model T is the length of the sequences that it takes; NumPy computes others.
        verify: whatever is no plain float32 code on the CPU first runs golden samples of the bundle. It is refused with BackendError
        if its answers are out of tolerance; "auto" takes another backend then. False: it is taken as it is.
        streams: N independent streams, answered together: see StreamsSession. None, not 1, for the plain session.
        Raises BackendUnavailableError if this machine lacks what the backend needs, BackendError for an unknown name, ConfigError
        for an option that does not apply to the backend.
        """
        if streams is not None and (type(streams) is not int or streams < 1):
            raise ConfigError(f"streams is {streams!r}; expected a whole number from 1")
        if backend == "auto" and not verify:
            raise ConfigError('verify=False does not apply to backend "auto", which takes what is right; name a backend')
        if backend == "auto":
            opened = choose_backend(self.bundle, artifact=artifact, streams=streams).backend
        else:
            opened = open_backend(backend, self.bundle, artifact=artifact, streams=streams)
            if verify:
                verify_backend(self.bundle, opened, backend, artifact, streams)
        return open_session(self.spec, opened, streams)

    def features(self, xs: ArrayLike) -> NDArray[np.float64]:
        """xs: (steps, C) raw units from the start of a recording -> (steps, F) what the network sees."""
        return features(self.spec, xs)[0]


def load(path: str | os.PathLike[str]) -> Model:
    """Read a bundle, checking every byte of it. Raises BundleError."""
    return Model(read_bundle(path))
