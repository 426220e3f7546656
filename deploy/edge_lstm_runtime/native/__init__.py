"""The C kernel of this folder, through ctypes. A wheel for a board has it built as libedge_lstm.so; the pure wheel does without."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, BackendUnavailableError
from ..model.spec import Missing, ModelSpec

LIBRARY = Path(__file__).with_name("libedge_lstm.so")
PRECISIONS = ("float32", "int8")  # in the order of el_precision
ALIGNMENT = 64
ALL = 0xFFFFFFFF  # EL_ALL
MAX_STREAMS = 65536  # EL_MAX_STREAMS
MISSING: tuple[Missing, ...] = ("refuse", "ffill", "mask")  # in the order of the header
Bytes = NDArray[np.uint8]
Float32 = NDArray[np.float32]


class Sizes(ctypes.Structure):
    """el_sizes"""

    _fields_ = [(name, ctypes.c_uint32) for name in ("inputs", "hidden", "layers", "outputs", "precision")]


class Bound(ctypes.Structure):
    """el_bound"""

    _fields_ = [(name, ctypes.c_void_p) for name in ("model", "state", "y", "processing", "last")]


class Processing(ctypes.Structure):
    """el_processing"""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("channels", "missing")),
        *((name, ctypes.c_void_p) for name in ("mean", "std", "offset", "scale", "residual")),
    ]


def _cut_off() -> bool:
    """Whether the file ends before its table of sections does, which linkers put last: loading such a file ends the process (SIGBUS)."""
    with LIBRARY.open("rb") as file:
        head = file.read(64)
    if len(head) < 64 or head[:4] != b"\x7fELF":  # which the loader refuses by itself
        return False
    start, size, count = struct.unpack_from("<Q10xHH", head, 40) if head[4] == 2 else struct.unpack_from("<L10xHH", head, 32)
    return LIBRARY.stat().st_size < int(start + size * count)


@functools.cache
def library() -> ctypes.CDLL:
    """The library, which is loaded once. Raises BackendUnavailableError where there is none that runs here."""
    if not LIBRARY.exists():
        raise BackendUnavailableError(
            "the native library is not in this installation, which is the pure wheel or a source folder without it; install the wheel for "
            "this board (docs/native.md), or run there: python hatch_build.py"
        )
    try:
        if _cut_off():
            raise OSError("it ends in the middle")
        found = ctypes.CDLL(str(LIBRARY))
        found.el_kernel_name.restype = ctypes.c_char_p
    except (OSError, AttributeError) as e:  # cut off, for another processor, or another library
        raise BackendUnavailableError(
            f"the native library {LIBRARY.name} can't be loaded here: {e}; install the wheel for this board again (docs/native.md)"
        ) from e
    return found


@functools.cache
def without_lock() -> ctypes.PyDLL:
    """The library for calls of a few microseconds: releasing Python's lock and taking it again would cost a part of that."""
    library()
    return ctypes.PyDLL(str(LIBRARY))


def kernels() -> tuple[str, ...]:
    """The kernels that this CPU runs, the fastest first."""
    names: list[str] = []
    while name := library().el_kernel_name(len(names)):
        names.append(name.decode())
    return tuple(names)


def call(function: str, *arguments: Any) -> None:
    """Call a function that returns a status. Raises BackendError, with the status's name, unless that is EL_OK."""
    status = getattr(library(), function)(*arguments)
    if status:
        describe = library().el_status_name
        describe.restype = ctypes.c_char_p
        raise BackendError(f"{function} of the native library answered {describe(status).decode()}; arguments: see native/edge_lstm.h")


def address(array: NDArray[Any]) -> ctypes.c_void_p:
    """Where its values begin; it must be contiguous, and be kept while the address is in use."""
    return ctypes.c_void_p(array.ctypes.data)


def _aligned(size: int) -> Bytes:
    buffer = np.zeros(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size]


def make_model(
    spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]], precision: str, kernel: str | None = None, steps: Float32 | None = None
) -> Bytes:
    """A model laid out for a kernel, the fastest here unless named. weights: canonical, see `layout`. steps: for "int8", see the header.

    Raises BackendError for a precision, kernel, size or steps that the library doesn't take, BundleError for weights of other shapes.
    """
    spec.check_weights(weights)
    count = 8 * spec.hidden_size * spec.num_layers
    if steps is not None and (steps.dtype != np.float32 or steps.shape != (count,) or not steps.flags.c_contiguous):
        raise BackendError(f"steps are {steps.dtype}{steps.shape}, expected contiguous float32({count},)")
    if precision not in PRECISIONS:
        raise BackendError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    sizes = Sizes(spec.feature_size, spec.hidden_size, spec.num_layers, spec.output_size, PRECISIONS.index(precision))
    name = kernel.encode() if kernel else None
    size = ctypes.c_size_t()
    call("el_model_bytes", ctypes.byref(sizes), name, ctypes.byref(size))
    model = _aligned(size.value)
    flat = np.concatenate([np.ravel(weights[n]) for n in spec.weight_shapes()]).astype(np.float32, copy=False)
    call("el_model_init", address(model), size, ctypes.byref(sizes), name, address(flat), None if steps is None else address(steps))
    return model


def make_state(model: Bytes, streams: int, kernel: str | None = None) -> Bytes:
    """The zero state of so many streams of this model. Raises BackendError for a number of streams or a kernel that it doesn't take."""
    if not 1 <= streams <= MAX_STREAMS:
        raise BackendError(f"{streams} streams, expected 1 to {MAX_STREAMS}")
    size = ctypes.c_size_t()
    call("el_state_bytes", address(model), ctypes.c_uint32(streams), ctypes.byref(size))
    state = _aligned(size.value)
    name = kernel.encode() if kernel else None
    call("el_state_init", address(state), size, address(model), name, ctypes.c_uint32(streams))
    return state
