"""The C kernel, in float32 and in int8 (see native/edge_lstm.h), the fastest on a CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import native
from ..errors import BackendError, BackendUnavailableError
from ..inputs import NUMBERS
from ..inputs.channels import Channels
from ..model.spec import ModelSpec
from ..native import address
from .base import Backend, Facts, State, check_state, checked_streams, refuse_opaque

if TYPE_CHECKING:
    from ..model.bundle import Bundle

Float32 = NDArray[np.float32]
FACTS = Facts(
    "float32",
    needs="the native library: the wheel for this machine, or `python hatch_build.py` "
    "in a source folder (docs/native.md)",
    libraries=(str(native.LIBRARY),),
    threads=True,
)
_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)


class NativeBackend(Backend):
    """One network in the C kernel.

    precision: "float32", or "int8" for recurrent layers with int8 weights, which take a quarter of
    the memory and are less exact.
    streams: if given, features are (streams, F), outputs (streams, O) and states (streams, size).
    kernel: one of `native.kernels()`, or None for the fastest.
    steps: of the grid of int8 weights, see native/edge_lstm.h.
    Raises BackendUnavailableError if the library is not here or can't run the network.
    """

    name = "native"

    def __init__(
        self,
        spec: ModelSpec,
        weights: Mapping[str, Float32],
        precision: str = "float32",
        *,
        streams: int | None = None,
        kernel: str | None = None,
        steps: Float32 | None = None,
    ):
        refuse_opaque(FACTS, spec.network)
        if spec.whole:
            raise BackendUnavailableError(
                "the native kernel answers single steps; a bidirectional model has none, "
                "so NumPy runs it"
            )
        if precision == "int8":
            self.name = "native-int8"
        spec.network.check_weights(weights)
        none = np.empty(0, np.float32)  # there may be no weights
        flat = np.concatenate([none, *(weights[name].ravel() for name in spec.network.weights)])
        network = native.network_of(spec.network)
        self._model = native.make_model(network, flat, precision, kernel, steps)
        self._streams = 1 if streams is None else streams
        self._states = native.make_state(self._model, self._streams, kernel)
        self._work = spec.network.macs_per_step * self._streams  # of a step
        batch = () if streams is None else (streams,)
        self._features_shape = (*batch, spec.inputs.feature_size)
        self._outputs_shape = (*batch, spec.answer.size)
        self._shapes = {name: (*batch, size) for name, size in spec.network.state.items()}
        self._state_shape = (*batch, sum(spec.network.state.values()))
        # Arguments that are the same at every step are kept as bytes, which ctypes passes as they
        # are. Finding the address of an array takes longer than the kernel does.
        self._y = np.zeros(self._outputs_shape, np.float32)
        self._bound = bytes(
            native.Bound(address(self._model), address(self._states), address(self._y))
        )
        self._initial: Float32 | None = None  # if it is not zero, which the kernel sets by itself
        initial = np.concatenate([np.empty(0), *spec.network.initial_state().values()])
        if initial.any():
            rows = np.broadcast_to(initial, self._state_shape)
            self._initial = np.ascontiguousarray(rows, np.float32)
            self.reset()
        # A function, because a method's lookups take a tenth of a step.
        self.step = self._fast_step()  # type: ignore[method-assign, assignment]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the model in memory, in the kernel's layout."""
        return self._model.size

    def reset(self) -> None:
        self._reset(native.ALL)

    def reset_streams(self, streams: Sequence[int]) -> None:
        for k in checked_streams(streams, self._streams):
            self._reset(k)

    def _reset(self, stream: int) -> None:
        if self._initial is None:
            self._call("el_reset", ctypes.c_uint32(stream))
        else:
            self._call("el_set_state", ctypes.c_uint32(stream), address(self._initial))

    def _fast_step(self) -> Callable[[NDArray[Any]], Float32]:
        call = native.library_for(self._work)["el_step_bound"]
        bound = self._bound
        shape = self._features_shape
        copy = self._y.copy
        any_step = self.step

        def step(features: NDArray[Any]) -> Float32:
            if (
                features.dtype is not _FLOAT32
                or features.shape != shape
                or call(bound, features.tobytes())
            ):
                return any_step(features)
            return copy()

        return step

    def step(self, features: NDArray[Any]) -> Float32:
        outputs: Float32 = self.run(np.asarray(features)[None])[0]
        return outputs

    def run(self, features: NDArray[Any]) -> Float32:
        with np.errstate(over="ignore"):  # infinities are refused below
            rows = np.ascontiguousarray(features, np.float32)
        if rows.shape[1:] != self._features_shape:
            raise BackendError(
                f"features have shape {rows.shape}, "
                f"expected (steps, {', '.join(map(str, self._features_shape))})"
            )
        if not np.isfinite(rows).all():
            raise BackendError("features are not finite in float32")
        outputs = np.empty((len(rows), *self._outputs_shape), np.float32)
        self._call("el_run", address(rows), ctypes.c_size_t(len(rows)), address(outputs))
        return outputs

    def answerer(
        self, spec: ModelSpec, last: NDArray[np.float64]
    ) -> Callable[[ArrayLike], Float32 | None] | None:
        found = self._processing(spec, last)
        if found is None:
            return None
        bound, kept = found
        call = native.library_for(self._work)["el_answer_bound"]
        shape = last.shape
        copy = self._y.copy

        def answer(x: ArrayLike) -> Float32 | None:
            if type(x) is np.ndarray and (x.dtype is _FLOAT64 or x.dtype is _FLOAT32):
                sample: NDArray[Any] | None = x if x.dtype is _FLOAT64 else x.astype(_FLOAT64)
            else:
                sample = _as_float64(x)
            if sample is None or sample.shape != shape or call(bound, sample.tobytes()):
                return None
            return copy()

        answer.kept = kept  # type: ignore[attr-defined]
        return answer

    def rows_answerer(
        self, spec: ModelSpec, last: NDArray[np.float64]
    ) -> Callable[[NDArray[np.float64]], Float32] | None:
        found = self._processing(spec, last)
        if found is None:
            return None
        bound, kept = found
        call = native.library()["el_answer_rows"]
        done = ctypes.c_size_t()
        shape = last.shape

        def answers(xs: NDArray[np.float64]) -> Float32:
            xs = np.ascontiguousarray(xs, np.float64)
            if xs.shape[1:] != shape:  # no row can be used
                xs = xs[:0]
            outputs = np.empty((len(xs), *self._outputs_shape), np.float32)
            count = ctypes.c_size_t(len(xs))
            # A refused row is no error here: the answers end before it.
            call(bound, address(xs), count, address(outputs), ctypes.byref(done))
            return outputs[: done.value]

        answers.kept = kept  # type: ignore[attr-defined]
        return answers

    def _processing(
        self, spec: ModelSpec, last: NDArray[np.float64]
    ) -> tuple[bytes, tuple[object, ...]] | None:
        """An el_bound for raw samples, and the owners of the memory behind its pointers."""
        inputs = spec.inputs
        scaling = spec.answer.scaling(inputs)
        # The kernel knows channels of numbers, without an elapsed time or transforms, and answers
        # on a line.
        if not isinstance(inputs, Channels) or inputs.dt or inputs.transforms or inputs.drop:
            return None
        if scaling is not None and not scaling.linear:
            return None
        arrays: dict[str, NDArray[Any]] = {
            "mean": np.array(inputs.mean, np.float64),
            "std": np.array(inputs.std, np.float64),
        }
        if scaling is not None:
            arrays |= {
                "offset": scaling.offset.astype(np.float64),
                "scale": scaling.scale.astype(np.float64),
            }
            if scaling.residual is not None:
                arrays["residual"] = scaling.residual.astype(np.uint32)
        places = {name: address(array) for name, array in arrays.items()}
        processing = native.Processing(inputs.size, native.MISSING.index(inputs.missing), **places)
        pointers = (
            address(self._model),
            address(self._states),
            address(self._y),
            ctypes.addressof(processing),
            address(last),
        )
        return bytes(native.Bound(*pointers)), (self, arrays, processing, last)

    def _call(self, function: str, *arguments: Any) -> None:
        native.call(function, address(self._model), address(self._states), *arguments)

    @property
    def state(self) -> State:
        values = np.empty(self._state_shape, np.float32)
        self._call("el_get_state", ctypes.c_uint32(native.ALL), address(values))
        return {name: part.copy() for name, part in self._parts(values).items()}

    @state.setter
    def state(self, value: State) -> None:
        values = np.empty(self._state_shape, np.float32)
        given = check_state(value, self._shapes)
        for name, part in self._parts(values).items():
            part[:] = given[name]
        self._call("el_set_state", ctypes.c_uint32(native.ALL), address(values))

    def _parts(self, values: Float32) -> dict[str, Float32]:
        """The states by name, as views of `values`, in which they are side by side."""
        ends = np.cumsum([shape[-1] for shape in self._shapes.values()], dtype=int)
        return dict(zip(self._shapes, np.split(values, ends, axis=-1), strict=False))


def _as_float64(x: ArrayLike) -> NDArray[np.float64] | None:
    """x in float64, or None if it is no array of numbers."""
    try:
        array = np.asarray(x)
    except (TypeError, ValueError):
        return None
    return array.astype(np.float64) if array.dtype.kind in NUMBERS else None


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> NativeBackend:
    return NativeBackend(bundle.spec, bundle.weights)


def open_streams(bundle: Bundle, streams: int, *, artifact: str | None = None) -> NativeBackend:
    return NativeBackend(bundle.spec, bundle.weights, streams=streams)
