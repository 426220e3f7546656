"""A session: one stream, or several, through one backend, the state carried."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .backends.base import Backend, into
from .errors import BackendError, ConfigError, SampleError
from .inputs import as_samples, from_scale, sound_of
from .model.spec import ModelSpec
from .owner import Owner
from .tasks import Quantiles, Scaling

if TYPE_CHECKING:
    from .model.bundle import Bundle

LAST = "last"  # names in a session's state, beside those of the network
PCM = "pcm"
MODEL = "model"


def answers(scaling: Scaling, outputs: NDArray[Any], filled: NDArray[np.float64]) -> NDArray[Any]:
    """Outputs (..., O) -> answers (..., O) in raw units, of the same dtype.

    filled: (..., C) the samples as `Inputs.features` fills them.
    """
    quantiles = scaling.quantiles
    answer = outputs if quantiles is None else _widened(quantiles, outputs)
    answer = answer * scaling.scale + scaling.offset
    if scaling.residual is not None:
        answer += filled[..., scaling.residual]
    if scaling.units is not None:
        answer = np.where(scaling.units > 0, from_scale(answer, scaling.units), answer)
    if quantiles is not None:
        grouped = answer.reshape(*answer.shape[:-1], -1, quantiles.levels)
        answer = np.sort(grouped, axis=-1).reshape(answer.shape)
    if scaling.low is not None or scaling.high is not None:
        answer = np.clip(answer, scaling.low, scaling.high)
    return answer.astype(outputs.dtype)


def _widened(quantiles: Quantiles, outputs: NDArray[Any]) -> NDArray[np.float64]:
    """outputs: (..., O) -> (..., O) each at `width` times its distance from its median."""
    medians = outputs[..., quantiles.median :: quantiles.levels].astype(np.float64)
    medians = np.repeat(medians, quantiles.levels, axis=-1)
    widened: NDArray[np.float64] = medians + quantiles.width * (outputs - medians)
    return widened


class Session:
    """A stream through one backend: raw samples in, answers out, the state carried.

    The state is zero at the start and after `reset()`. A refused sample leaves it unchanged.
    A bidirectional model carries no state: `run` answers whole sequences and `step` raises
    BackendError.

    A session belongs to the first thread that uses it, until that thread calls `hand_over` or ends.
    Every method but `close` raises BackendError in another thread, and after `close`.

    >>> import numpy as np, edge_lstm_runtime as rt
    >>> recording = np.load("samples.npy")  # (20, 3): steps, channels
    >>> s = rt.load("mine.edge").session("numpy")
    >>> s
    Session(numpy; classify: 3 channels -> lstm 8 -> 2 classes)
    >>> answer = s.step(recording[0])  # (C,) -> (O,) float32
    >>> saved = s.state  # copies, by name
    >>> sorted(saved)
    ['last', 'lstm0.c', 'lstm0.h', 'model']
    >>> answers = s.run(recording[1:])  # (steps, C) -> (steps, O), the state is carried
    >>> answers.shape
    (19, 2)
    >>> s.state = saved  # restored: the same samples give the same answers
    >>> np.array_equal(s.steps(recording[1:]), answers)
    True
    >>> s.reset()  # a new recording begins
    >>> np.array_equal(s.step(recording[0]), answer)
    True
    >>> again = s.step(recording[1], out=answer)  # into an array that is there
    >>> again is answer
    True
    >>> s.hand_over()  # another thread may use it now
    >>> s.close()

    A model with a sound front end listens to PCM:

    >>> with rt.load("heard.edge").session("numpy") as s:
    ...     answers = s.listen(np.zeros(4000, np.int16))  # (samples,) -> (n, O)
    >>> answers.shape
    (31, 2)
    """

    def __init__(
        self,
        spec: ModelSpec,
        backend: Backend,
        streams: int | None = None,
        *,
        model: NDArray[np.uint8] | None = None,
    ):
        """streams: N for a `StreamsSession`, None for one stream.

        model: (16,) the bundle's `fingerprint`, which a state then carries. None for no such check.
        """
        self.spec = spec
        self.backend = backend
        self.streams = streams
        self._scaling = spec.answer.scaling(spec.inputs)
        keep_last = self._scaling is not None and self._scaling.residual is not None
        self._pre = spec.inputs.preprocessor(backend.dtype, streams, keep_last=keep_last)
        self._step = backend.step
        # The backend refuses a step of a whole-sequence model, so the sample isn't checked first.
        self._features: Callable[..., NDArray[Any]] = backend.step if spec.whole else self._pre
        self._answer = backend.answerer(spec, self._pre.last)
        self._answers = backend.rows_answerer(spec, self._pre.last)
        sound = spec.inputs.sound
        self._sound = sound.stream() if sound is not None and streams is None else None
        self._model = model if model is None or streams is None else np.tile(model, (streams, 1))
        self._owner = Owner()
        stepper = backend.stepper(spec, self._pre.last, self.step)
        if stepper is not None:
            self._owner.tell(stepper.own)
            self.step = stepper.step  # type: ignore[method-assign]

    def __repr__(self) -> str:
        several = "" if self.streams is None else f", {self.streams} streams"
        return f"{type(self).__name__}({self.backend.name}{several}; {self.spec.summary})"

    def step(self, x: ArrayLike, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """x: (C,) raw units -> (O,) float32 (float64 from the reference).

        The answer is logits, or raw units: the task says which. out: an array of its shape and type
        that it is written to, and which is returned.
        Raises SampleError for a wrong number of values, text, inf, or a NaN that the model refuses,
        and ConfigError for another `out`. The state is then unchanged.
        """
        if self._owner.ident != get_ident():
            self._owner.check()
        if out is not None:
            self._check_out(out, ())
        if self._answer is not None and (answer := self._answer(x)) is not None:
            return into(out, answer)
        outputs = self._step(self._features(x))
        if self._scaling is not None:
            outputs = answers(self._scaling, outputs, self._pre.last)
        return into(out, outputs)

    def _check_out(self, out: object, rows: tuple[int, ...]) -> None:
        """Raises ConfigError unless `out` can take the answers of so many rows, () for a step."""
        streams = () if self.streams is None else (self.streams,)
        shape = (*rows, *streams, self.spec.answer.size)
        dtype = np.dtype(self.backend.dtype)
        if isinstance(out, np.ndarray):
            if out.shape == shape and out.dtype == dtype and out.flags.writeable:
                return
            locked = "" if out.flags.writeable else ", which is read-only"
            found = f"{out.dtype}{out.shape}{locked}"
        else:
            found = f"of type {type(out).__name__}"
        raise ConfigError(f"out is {found}; expected a writable array, {dtype}{shape}")

    def steps(self, xs: NDArray[np.float64]) -> NDArray[Any]:
        """xs: (steps, C) raw units -> (n, O): `step` of each row, to the bit.

        It ends before the first row that `step` would raise an error for, such as a sample that
        can't be used. So n may be 0. Raises BackendError in another thread, or if it is closed.
        """
        self._owner.check()
        if self._answers is not None:
            return self._answers(xs)
        found = []
        with contextlib.suppress(SampleError, BackendError):
            for x in xs:
                found.append(self.step(x))
        streams = () if self.streams is None else (self.streams,)
        return np.array(found, self.backend.dtype).reshape(-1, *streams, self.spec.answer.size)

    def run(self, xs: ArrayLike, *, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """xs: (steps, C) raw units -> (steps, O): the same as `step` for each row.

        out: an array of their shape and type that they are written to, and which is returned.
        The state is carried in and out. For a bidirectional model, the rows are one whole sequence:
        it starts from the zero state, and no earlier value fills a gap ("ffill").
        Raises SampleError with the number of the first row that can't be used, ConfigError for
        another `out`, and BackendError if the backend fails. The state is then as it was before the
        call.
        """
        self._owner.check()
        xs = as_samples(self.spec.inputs, xs, self.streams)
        if out is not None:
            self._check_out(out, (len(xs),))
        if not len(xs):
            empty = np.empty((*xs.shape[:-1], self.spec.answer.size), self.backend.dtype)
            return into(out, empty)
        before = self.state
        if self._answers is not None:
            found = self._answers(xs)
            if len(found) == len(xs):
                return into(out, found)
            self.state = before  # what follows raises the error
        try:
            if self.spec.whole:
                self._pre.reset()
            rows, filled = self._pre.run(xs)
            outputs = self.backend.run(rows)
        except Exception:
            # If the backend can't take its state back either, the first error says more.
            with contextlib.suppress(BackendError):
                self.state = before
            raise
        if self._scaling is not None:
            outputs = answers(self._scaling, outputs, filled)
        return into(out, outputs)

    def listen(self, pcm: ArrayLike) -> NDArray[Any]:
        """pcm: (samples,) mono, int16 or floats in -1 to 1 -> (n, O) answers.

        A piece may have any length. The answers are those of `run` to the n frames that are now
        complete. Samples that no frame has used up are part of the state.
        Raises SampleError for other numbers, with the state unchanged. Raises ConfigError if the
        model takes no sound, if it is bidirectional, or if the session has several streams.
        """
        self._owner.check()
        if self._sound is None or self.spec.whole:
            sound_of(self.spec.inputs)
            what = (
                "a session of several streams"
                if self.streams is not None
                else "a bidirectional model"
            )
            raise ConfigError(
                f"{what} takes frames: make them by spec.inputs.sound.frames(pcm) "
                "or spec.inputs.sound.stream(), and call `run`"
            )
        before = self._sound.pending
        frames = self._sound.push(pcm)
        try:
            return self.run(frames)
        except Exception:
            self._sound.pending = before
            raise

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """Copies, by name. Assigning restores all of them.

        The network's states come first, such as "lstm0.h" (H,). "last" (C,) is the latest known raw
        values. Transforms that look back have arrays such as "difference0_past" (lag, channels),
        with NaN for what is not there yet. A session that takes sound also has "pcm" (samples,),
        the samples in -1 to 1 that no frame has used up. "model" (16,) uint8 tells this model from
        others. Assigning raises BackendError for other names, shapes or values, and for the state
        of another model. A state without "model", as earlier versions gave it, is taken.
        """
        self._owner.check()
        memory = {name: array.copy() for name, array in self._pre.memory.items()}
        values = {**self.backend.state, LAST: self._pre.last.copy(), **memory}
        if self._sound is not None:
            values[PCM] = self._sound.pending
        if self._model is not None:
            values[MODEL] = self._model.copy()
        return values

    @state.setter
    def state(self, value: Mapping[str, NDArray[Any]]) -> None:
        self._owner.check()
        names = list(self.backend.state)
        keys = {*names, LAST, *self._pre.memory} | (set() if self._sound is None else {PCM})
        if not isinstance(value, Mapping) or set(value) - {MODEL} != keys:
            found = (
                f"keys {sorted(value, key=str)}"
                if isinstance(value, Mapping)
                else f"type {type(value).__name__}"
            )
            raise BackendError(
                f"state has {found}, expected the keys {sorted(keys)} as Session.state gives them"
            )
        if MODEL in value and self._model is not None:
            _check_model(value[MODEL], self._model)
        try:
            last = np.asarray(value[LAST], np.float64)
        except (TypeError, ValueError) as e:
            raise BackendError(f"state 'last' is not numeric: {e}") from e
        if last.shape != self._pre.last.shape or not np.isfinite(last).all():
            raise BackendError(
                f"state 'last' has shape {last.shape}, "
                f"expected {self._pre.last.shape} finite values"
            )
        memory = {name: self._memory(name, value[name]) for name in self._pre.memory}
        before = None if self._sound is None else self._sound.pending
        if self._sound is not None:
            try:
                self._sound.pending = value[PCM]
            except SampleError as e:
                raise BackendError(f"state 'pcm': {e}") from e
        try:
            self.backend.state = {name: value[name] for name in names}
        except BackendError:
            if self._sound is not None and before is not None:
                self._sound.pending = before
            raise
        self._pre.last[:] = last
        self._pre.memory = memory

    def _memory(self, name: str, value: object) -> NDArray[np.float64]:
        """An array of the preprocessor's memory. Raises BackendError."""
        expected = self._pre.memory[name].shape
        try:
            array = np.array(value, np.float64)
        except (TypeError, ValueError) as e:
            raise BackendError(f"state {name!r} is not numeric: {e}") from e
        if array.shape != expected or np.isinf(array).any():
            raise BackendError(
                f"state {name!r} has shape {array.shape}, expected {expected} without inf"
            )
        return array

    def reset(self) -> None:
        """Set the state to zero, as at the start of a recording."""
        self._owner.check()
        self.backend.reset()
        self._pre.reset()
        if self._sound is not None:
            self._sound.reset()

    def hand_over(self) -> None:
        """Let another thread have the session: the next one that uses it.

        The state stays. Raises BackendError in a thread that doesn't have it.
        """
        self._owner.leave()

    def close(self) -> None:
        """Release all that the backend holds. It may be called twice, and by any thread while no
        other method runs."""
        self._owner.close()
        self.backend.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StreamsSession(Session):
    """N streams, each with its own state. One call takes a step of all of them.

    step: (N, C) raw units -> (N, O). run: (steps, N, C) -> (steps, N, O), and steps -> (n, N, O).
    state: each state of the network (N, size), "last" (N, C), "model" (N, 16).
    The error for a refused sample names its stream and channel. No stream's state changes then.

    >>> import numpy as np, edge_lstm_runtime as rt
    >>> with rt.load("mine.edge").session("numpy", streams=4) as s:
    ...     answers = s.step(np.zeros((4, 3)))  # (N, C) -> (N, O)
    ...     s.reset(stream=2)  # a new recording begins on this stream alone
    ...     runs = s.run(np.zeros((10, 4, 3)))  # (steps, N, C) -> (steps, N, O)
    >>> answers.shape, runs.shape
    ((4, 2), (10, 4, 2))
    """

    streams: int

    def __init__(
        self,
        spec: ModelSpec,
        backend: Backend,
        streams: int,
        *,
        model: NDArray[np.uint8] | None = None,
    ):
        """backend: one for N streams, as `open_backend(..., streams=N)` returns it."""
        super().__init__(spec, backend, streams, model=model)

    def reset(
        self,
        *,
        stream: int | None = None,
        streams: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    ) -> None:
        """Set the state of one stream or of several to zero, or of all if none is named.

        The other streams answer as if nothing had happened. stream: its number, from 0.
        streams: (n,) whole numbers.
        Raises ConfigError for a number that no stream has.
        """
        self._owner.check()
        if stream is None and streams is None:
            return super().reset()
        if stream is not None and streams is not None:
            raise ConfigError(
                f"reset got stream={stream!r} and streams={streams!r}; expected one of the two"
            )
        named: Any = [stream] if streams is None else streams
        if not np.iterable(named):
            raise ConfigError(f"streams is {named!r}; expected a list of numbers")
        chosen = []
        for k in named:
            # A bool is an int to Python: a mask would be taken for streams 0 and 1.
            number = isinstance(k, (int, np.integer)) and not isinstance(k, bool)
            if not number or not 0 <= k < self.streams:
                raise ConfigError(f"stream {k!r} is not there; expected 0 to {self.streams - 1}")
            chosen.append(int(k))
        self.backend.reset_streams(chosen)
        self._pre.reset(chosen)
        return None


def _check_model(found: object, expected: NDArray[np.uint8]) -> None:
    """Raises BackendError if a state's "model" is another one."""
    try:
        same = np.array_equal(np.asarray(found), expected)
    except (TypeError, ValueError):
        same = False
    if not same:
        raise BackendError(
            "state is of another model: its 'model' is not this bundle's; start from the zero "
            "state, or restore a state that a session of this bundle gave"
        )


def open_session(bundle: Bundle, backend: Backend, streams: int | None) -> Session:
    """A session on an open backend: for one stream if `streams` is None, else for N."""
    spec = bundle.spec
    model = None if spec.whole else bundle.fingerprint  # a state that carries nothing has no owner
    if streams is None:
        return Session(spec, backend, model=model)
    return StreamsSession(spec, backend, streams, model=model)
