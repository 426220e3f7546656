"""What deploy/extension makes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
# missing, mean, std, offset, scale, residual: see el_processing. residual: uint32 numbers
Processing = tuple[int, Float64, Float64, Float64 | None, Float64 | None, bytes | None]

class Net:
    """A model and the states of its streams. All arrays are contiguous.

    layers: each an el_layer. Raises BackendError if the library refuses it.
    """

    def __new__(
        cls,
        layers: bytes,
        inputs: int,
        precision: int,
        weights: Float32,
        steps: Float32 | None,
        kernel: str | None,
        streams: int,
        /,
    ) -> Net: ...
    def run(self, x: Float32, y: Float32, /) -> None:
        """x: (steps, streams, inputs) -> y: (steps, streams, outputs)."""

    def reset(self, stream: int, /) -> None: ...
    def get_state(self, stream: int, values: Float32, /) -> None: ...
    def set_state(self, stream: int, values: Float32, /) -> None: ...
    def sizes(self) -> tuple[int, int]:
        """The bytes of the model, and the values of a stream's state."""

    def model(self) -> bytes: ...

class Step:
    """A way to call a net: `step` for one sample, `rows` for many.

    otherwise: answers what `step` does not know. If it is None, the answer is None.
    release: whether other threads run during a step.
    batched: whether a sample is (streams, C), and not (C,).
    last: (C,) or (streams, C), see el_answer. processing: None for features in float32.
    """

    def __new__(
        cls,
        net: Net,
        otherwise: Callable[..., Any] | None,
        release: bool,
        batched: bool,
        last: Float64 | None,
        processing: Processing | None,
        /,
    ) -> Step: ...
    def step(self, x: Any, *, out: Float32 | None = None) -> Any: ...
    def own(self, ident: int, /) -> None:
        """From now on only the thread with this identifier may call `step`."""

    def rows(self, xs: Float64, answers: Float32, /) -> int:
        """How many rows were answered, before the first one that can't be used."""

def kernel_name(index: int, /) -> str | None: ...
def weight_values(layers: bytes, inputs: int, precision: int, /) -> tuple[int, int]: ...
