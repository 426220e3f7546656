"""The two verbs of the board: load a bundle, open a session on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .audio import FrontEndStream
from .backends import Backend, open_backend
from .bundle import Bundle, read_bundle
from .errors import BackendError, ConfigError, SampleError
from .processing import Postprocessor, as_samples, features, preprocessor
from .spec import ModelSpec

if TYPE_CHECKING:
    from .streams import StreamsSession


class Session:
    """A stream through one backend: raw samples in, answers out, the state carried.

    The state starts at zero, at `reset()`, and nowhere else; a sample that is refused leaves it as it was. A bidirectional model has
    none: it answers whole sequences, by `run`, and `step` raises BackendError.
    """

    def __init__(self, spec: ModelSpec, backend: Backend, streams: int | None = None):
        """streams: N, of a `StreamsSession`."""
        self.spec = spec
        self.backend = backend
        self.streams = streams
        self._pre = preprocessor(spec, backend.dtype, streams)
        self._post = Postprocessor(spec)
        self._raw_output = self._post.identity
        self._step = backend.step
        # The backend refuses a step of a bidirectional model in a clear line; no sample is looked at for that.
        self._features: Callable[..., NDArray[Any]] = backend.step if spec.bidirectional else self._pre
        self._answer = None if spec.dt else backend.answerer(spec, self._pre.last)
        self._sound = FrontEndStream(spec.front_end) if spec.front_end is not None and streams is None else None

    def step(self, x: ArrayLike) -> NDArray[Any]:
        """x: (C,) raw units -> (O,) float32 (float64 from the reference): logits for "classify" and "language", else raw units.

        Raises SampleError for a sample that can't be used: wrong number of values, text, inf, a NaN that the model refuses.
        """
        if self._answer is not None and (answer := self._answer(x)) is not None:
            return answer
        outputs = self._step(self._features(x))
        return outputs if self._raw_output else self._post(outputs, self._pre.last)

    def run(self, xs: ArrayLike) -> NDArray[Any]:
        """xs: (steps, C) raw units -> (steps, O): the same as `step` for each row, the state carried in and out.

        Raises SampleError with the number of the first row that can't be used; the state is then as before the call, as it is
        when the backend fails.

        Of a bidirectional model the rows are one whole sequence, from the zero state and with no value known before it ("ffill").
        """
        xs = as_samples(self.spec, xs, self.streams)
        if not len(xs):
            return np.empty((*xs.shape[:-1], self.spec.output_size), self.backend.dtype)
        before = self.state
        if self.spec.bidirectional:
            self._pre.reset()
        rows, filled = self._pre.run(xs)
        try:
            outputs = self.backend.run(rows)
        except Exception:
            with contextlib.suppress(BackendError):  # where it can't even take its state back, its own error says more
                self.state = before
            raise
        return self._post(outputs, filled)

    def listen(self, pcm: ArrayLike) -> NDArray[Any]:
        """pcm: (samples,) mono, int16 or floats in -1 to 1, pieces of any length -> (n, O) the answers to the frames that are now complete.

        For a model with a front end: `run` for its frames; samples that no frame has used up are part of the state. Raises SampleError
        for other numbers, the state as before, and ConfigError for a model, or a session, that takes frames only.
        """
        if self._sound is None or self.spec.bidirectional:
            if self.spec.front_end is None:
                raise ConfigError(f"this model takes no sound: it was trained without [front_end], on {', '.join(self.spec.channels)}")
            what = "a session of several streams" if self.streams is not None else "a bidirectional model"
            raise ConfigError(f"{what} takes frames: make them by spec.front_end.frames(pcm) or FrontEndStream, and call `run`")
        before = self._sound.pending
        frames = self._sound.push(pcm)
        try:
            return self.run(frames)
        except Exception:
            self._sound.pending = before
            raise

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """Copies: "h" and "c" (layers, H), and "last" (C,), the latest known raw values; of a model with a front end "pcm" (samples,) too,
        what no frame has used up. Assigning restores all of it."""
        h, c = self.backend.state
        values = {"h": h, "c": c, "last": self._pre.last.copy()}
        return values if self._sound is None else {**values, "pcm": self._sound.pending}

    @state.setter
    def state(self, value: Mapping[str, NDArray[Any]]) -> None:
        keys = {"h", "c", "last"} | (set() if self._sound is None else {"pcm"})
        if not isinstance(value, Mapping) or set(value) != keys:
            found = f"keys {sorted(value)}" if isinstance(value, Mapping) else f"type {type(value).__name__}"
            raise BackendError(f"state has {found}, expected the keys {sorted(keys)} as Session.state gives them")
        try:
            last = np.asarray(value["last"], np.float64)
        except (TypeError, ValueError) as e:
            raise BackendError(f"state 'last' is not numeric: {e}") from e
        if last.shape != self._pre.last.shape or not np.isfinite(last).all():
            raise BackendError(f"state 'last' has shape {last.shape}, expected {self._pre.last.shape} finite values")
        before = None if self._sound is None else self._sound.pending
        if self._sound is not None:
            try:
                self._sound.pending = value["pcm"]
            except SampleError as e:
                raise BackendError(f"state 'pcm': {e}") from e
        try:
            self.backend.state = value["h"], value["c"]
        except BackendError:
            if self._sound is not None and before is not None:
                self._sound.pending = before
            raise
        self._pre.last[:] = last

    def reset(self) -> None:
        """Back to the zero state, as at the start of a recording."""
        self.backend.reset()
        self._pre.reset()
        if self._sound is not None:
            self._sound.reset()

    def close(self) -> None:
        self.backend.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_session(spec: ModelSpec, backend: Backend, streams: int | None) -> Session:
    """A session on an open backend: the plain one, or one of N streams."""
    if streams is None:
        return Session(spec, backend)
    from .streams import StreamsSession

    return StreamsSession(spec, backend, streams)


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
    def session(self, backend: str = "numpy", *, artifact: str | None = None, verify: bool = True, streams: None = None) -> Session: ...

    @overload
    def session(self, backend: str = "numpy", *, artifact: str | None = None, verify: bool = True, streams: int) -> StreamsSession: ...

    def session(self, backend: str = "numpy", *, artifact: str | None = None, verify: bool = True, streams: int | None = None) -> Session:
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
            from .choice import choose_backend

            opened = choose_backend(self.bundle, artifact=artifact, streams=streams).backend
        else:
            opened = open_backend(backend, self.bundle, artifact=artifact, streams=streams)
            if verify:
                from .check import verify_backend

                verify_backend(self.bundle, opened, backend, artifact, streams)
        return open_session(self.spec, opened, streams)

    def features(self, xs: ArrayLike) -> NDArray[np.float64]:
        """xs: (steps, C) raw units from the start of a recording -> (steps, F) what the network sees."""
        return features(self.spec, xs)[0]


def load(path: str | os.PathLike[str]) -> Model:
    """Read a bundle, checking every byte of it. Raises BundleError."""
    return Model(read_bundle(path))
