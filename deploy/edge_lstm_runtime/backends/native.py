"""The C kernel, in float32 and in int8 (see native/edge_lstm.h), the fastest on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import native
from ..errors import BackendError, BackendUnavailableError
from ..inputs import NUMBERS
from ..inputs.channels import Channels
from ..model.spec import ModelSpec
from .base import Backend, Facts, State, Stepper, check_state, checked_streams, into, refuse_opaque

if TYPE_CHECKING:
    from ..model.bundle import Bundle
    from ..native._kernel import Processing, Step

Float32 = NDArray[np.float32]
FACTS = Facts(
    "float32",
    needs="the native library: the wheel for this machine, or `python deploy/hatch_build.py` "
    "in a source folder (docs/native.md)",
    libraries=(str(native.LIBRARY),),
    threads=True,
)


class NativeBackend(Backend):
    """One network in the C kernel.

    precision: "float32", or "int8" for recurrent layers with int8 weights, which take a quarter of
    the memory and are less exact, or "float16" for matrices in half of the memory.
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
        self._streams = 1 if streams is None else streams
        self._net = native.make_net(network, flat, precision, kernel, steps, self._streams)
        self._batched = streams is not None
        self._releases = native.releases(spec.network.macs_per_step * self._streams)
        batch = () if streams is None else (streams,)
        self._features_shape = (*batch, spec.inputs.feature_size)
        self._outputs_shape = (*batch, spec.answer.size)
        self._shapes = {name: (*batch, size) for name, size in spec.network.state.items()}
        self._state_shape = (*batch, sum(spec.network.state.values()))
        self._initial: Float32 | None = None  # if it is not zero, which the kernel sets by itself
        initial = np.concatenate([np.empty(0), *spec.network.initial_state().values()])
        if initial.any():
            rows = np.broadcast_to(initial, (self._streams, initial.size))
            self._initial = np.ascontiguousarray(rows, np.float32)
            self.reset()
        self.step = self._way(self.step).step  # type: ignore[method-assign, assignment]

    def _way(
        self,
        otherwise: Callable[..., Any] | None,
        last: NDArray[np.float64] | None = None,
        processing: Processing | None = None,
    ) -> Step:
        """A way to call the kernel, see native/_kernel.pyi."""
        step: Step = native.library().Step(
            self._net, otherwise, self._releases, self._batched, last, processing
        )
        return step

    @property
    def weight_bytes(self) -> int:
        """Bytes of the model in memory, in the kernel's layout."""
        return self._net.sizes()[0]

    def reset(self) -> None:
        if self._initial is None:
            self._net.reset(native.ALL)
        else:
            self._net.set_state(native.ALL, self._initial)

    def reset_streams(self, streams: Sequence[int]) -> None:
        for k in checked_streams(streams, self._streams):
            if self._initial is None:
                self._net.reset(k)
            else:
                self._net.set_state(k, self._initial[k])

    def step(self, features: NDArray[Any], *, out: Float32 | None = None) -> Float32:
        outputs: Float32 = self.run(np.asarray(features)[None])[0]
        return into(out, outputs)

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
        self._net.run(rows, outputs)
        return outputs

    def stepper(
        self,
        spec: ModelSpec,
        last: NDArray[np.float64],
        otherwise: Callable[..., NDArray[Any]],
    ) -> Stepper | None:
        found = self._processing(spec)
        return found and self._way(otherwise, last, found)

    def answerer(
        self, spec: ModelSpec, last: NDArray[np.float64]
    ) -> Callable[[ArrayLike], Float32 | None] | None:
        found = self._processing(spec)
        if found is None:
            return None
        step = self._way(None, last, found).step

        def answer(x: ArrayLike) -> Float32 | None:
            sample = _as_float64(x)
            return None if sample is None else step(sample)

        return answer

    def rows_answerer(
        self, spec: ModelSpec, last: NDArray[np.float64]
    ) -> Callable[[NDArray[np.float64]], Float32] | None:
        found = self._processing(spec)
        if found is None:
            return None
        rows = self._way(None, last, found).rows
        shape = last.shape

        def answers(xs: NDArray[np.float64]) -> Float32:
            xs = np.ascontiguousarray(xs, np.float64)
            if xs.shape[1:] != shape:  # no row can be used
                xs = xs[:0]
            outputs = np.empty((len(xs), *self._outputs_shape), np.float32)
            return outputs[: rows(xs, outputs)]

        return answers

    def _processing(self, spec: ModelSpec) -> Processing | None:
        """What the kernel needs for raw samples. None if it can't read or answer this model's."""
        inputs = spec.inputs
        scaling = spec.answer.scaling(inputs)
        # The kernel knows channels of numbers, without an elapsed time or transforms, and answers
        # on a line.
        if not isinstance(inputs, Channels) or inputs.dt or inputs.transforms or inputs.drop:
            return None
        if scaling is not None and not scaling.linear:
            return None
        mean, std, _ = inputs.arrays
        missing = native.MISSING.index(inputs.missing)
        if scaling is None:
            return missing, mean, std, None, None, None
        offset, scale = (array.astype(np.float64) for array in (scaling.offset, scaling.scale))
        residual = scaling.residual
        channels = None if residual is None else residual.astype(np.uint32).tobytes()
        return missing, mean, std, offset, scale, channels

    @property
    def state(self) -> State:
        values = np.empty(self._state_shape, np.float32)
        self._net.get_state(native.ALL, values)
        return {name: part.copy() for name, part in self._parts(values).items()}

    @state.setter
    def state(self, value: State) -> None:
        values = np.empty(self._state_shape, np.float32)
        given = check_state(value, self._shapes)
        for name, part in self._parts(values).items():
            part[:] = given[name]
        self._net.set_state(native.ALL, values)

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
