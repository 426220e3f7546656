"""The two verbs of the board: load a bundle, open a session on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .backends.base import Backend
from .backends.registry import refuse_threads
from .errors import ConfigError
from .model.bundle import Bundle, read_bundle
from .model.spec import ModelSpec
from .session import Session, StreamsSession, open_session
from .shown import counted
from .verify.auto import choose_backend
from .verify.check import open_verified


class Model:
    """A loaded bundle, from which sessions are opened.

    >>> import edge_lstm_runtime as rt
    >>> model = rt.load("mine.edge")
    >>> model
    Model(classify: 3 channels -> lstm 8 -> 2 classes; 2 members)
    >>> model.spec.inputs.names, model.spec.answer.names
    (('ax', 'ay', 'az'), ('rest', 'walk'))
    >>> model.manifest["format"]
    2
    >>> model.features([[0.1, 0.2, 9.8]]).shape  # of one sample: (steps, F)
    (1, 3)
    >>> with model.session() as s:  # the fastest backend that is right here
    ...     s.step([0.1, 0.2, 9.8]).shape
    (2,)
    """

    def __init__(self, bundle: Bundle, runs: Callable[[], None] = lambda: None):
        """runs: is called as soon as a session is open, whose backend is right."""
        self.bundle = bundle
        self._runs = runs

    def __repr__(self) -> str:
        return f"Model({self.spec.summary}; {counted(len(self.bundle.members), 'member')})"

    @property
    def spec(self) -> ModelSpec:
        """All that is known of the model but its weights."""
        return self.bundle.spec

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The bundle's facts: versions, members, what was measured and where (docs/bundle.md)."""
        return self.bundle.manifest

    @overload
    def session(
        self,
        backend: str = "auto",
        *,
        artifact: str | None = None,
        verify: bool = True,
        streams: None = None,
    ) -> Session: ...

    @overload
    def session(
        self,
        backend: str = "auto",
        *,
        artifact: str | None = None,
        verify: bool = True,
        streams: int,
        threads: int = 1,
    ) -> StreamsSession: ...

    def session(
        self,
        backend: str = "auto",
        *,
        artifact: str | None = None,
        verify: bool = True,
        streams: int | None = None,
        threads: int = 1,
    ) -> Session:
        """Open a session on a backend.

        backend: a name such as "numpy" or "rknn" (docs/backends.md), or "auto" for the fastest
        backend that is right.

        artifact: the converted member to run, such as "rk3588-fp16.rknn". It may be left out if the
        bundle has only one for the backend. "auto" tries no other converted member.
        A member that takes T steps at once, such as "rk3588-fp16-t8.rknn", computes whole chunks of
        a `run`. NumPy computes the rest of its rows, and `step`, on the same state.
        For a bidirectional model, T is the length of the sequences that the member takes. NumPy
        computes sequences of other lengths.

        verify: every backend first runs golden samples of the bundle, up to 200. If its answers are
        out of tolerance, it is refused with BackendError, and "auto" takes another one. With False
        it is not checked. A backend that runs a graph or a converted model of the bundle is opened
        and checked under a time limit (docs/backends.md).

        streams: N for N independent streams that are answered together (see StreamsSession), None
        for a session of one stream. 1 gives a StreamsSession too.

        threads: K to divide the streams over K threads, up to one for each stream. The answers are
        the same to the bit. Only for a named backend that can (docs/backends.md).

        Raises BackendUnavailableError if this machine or the bundle lacks what the backend needs,
        BackendError for an unknown name, and ConfigError for an option that does not apply.
        """
        if streams is not None and (type(streams) is not int or streams < 1):
            raise ConfigError(f"streams is {streams!r}; expected a whole number from 1")
        if backend == "auto" and not verify:
            raise ConfigError(
                'verify=False does not apply to backend "auto", which takes what is right; '
                "name a backend"
            )
        if backend == "auto":
            refuse_threads(backend, streams, threads)
            opened = choose_backend(self.bundle, artifact=artifact, streams=streams).backend
        else:
            opened = open_verified(
                self.bundle, backend, artifact, streams, verify=verify, threads=threads
            )
        return self._opened(opened, streams)

    def _opened(self, backend: Backend, streams: int | None = None) -> Session:
        """A session on a backend that is open and checked. streams: of the backend."""
        try:
            self._runs()
        except BaseException:
            backend.close()
            raise
        return open_session(self.bundle, backend, streams)

    def features(self, xs: ArrayLike) -> NDArray[np.float64]:
        """xs: (steps, C) raw units, from the start of a recording -> (steps, F) float64.

        These are the network's inputs. Raises SampleError as `Session.run` does.
        """
        return self.spec.features(xs)


def load(
    path: str | os.PathLike[str],
    *,
    trusted: str | os.PathLike[str] | None = None,
    remember: str | os.PathLike[str] | None = None,
    allow_downgrade: bool = False,
) -> Model:
    """Read a bundle and check every byte of it. Raises BundleError.

    trusted: an allowed_signers file of OpenSSH. The signature NAME.edge.sig beside the bundle must
    then be by one of its keys, else SignatureError is raised (docs/trust.md).

    remember: a folder in which the highest version of each model is kept, as soon as a session of
    it is open. A bundle of a lower version is refused with OlderVersionError. allow_downgrade: take
    it, log a warning, and keep its version in the place of the higher one.

    >>> import edge_lstm_runtime as rt
    >>> model = rt.load("mine.edge")
    >>> with model.session("numpy") as s:
    ...     logits = s.run([[0.1, 0.2, 9.8], [0.0, 0.3, 9.7]])  # (steps, C) -> (steps, O)
    >>> logits.shape, str(logits.dtype)
    ((2, 2), 'float32')
    """
    bundle = read_bundle(path, trusted=trusted)
    if remember is not None:
        from .trust.versions import compare_version, remember_version  # here: few need them

        compare_version(bundle, path, remember, older=allow_downgrade)
        return Model(
            bundle, lambda: remember_version(bundle, path, remember, older=allow_downgrade)
        )
    return Model(bundle)
