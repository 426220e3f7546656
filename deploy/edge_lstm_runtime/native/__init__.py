"""The C kernel of this folder, through ctypes.

A wheel for a board has it, built as libedge_lstm.so. The pure wheel lacks it.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..digest import sha256
from ..errors import BackendError, BackendUnavailableError
from ..inputs.channels import Missing
from ..layers import FEATURES, Layer
from ..model.network import Network

LIBRARY = Path(__file__).with_name("libedge_lstm.so")
PRECISIONS = ("float32", "int8", "float16")  # in the order of el_precision
ACTIVATIONS = ("none", "tanh", "relu", "sigmoid")  # in the order of EL_NONE, EL_TANH ...
OPERATIONS = ("add", "mul", "concat")  # in the order of EL_ADD, EL_MUL, EL_CONCAT
CONV = ("kernel", "dilation", "activation")  # what EL_CONV puts into one option
NUMBER_BITS = 14  # of each of its numbers
ALIGNMENT = 64
MAX_SIZE = 16384  # EL_MAX_SIZE
MAX_SOURCES = 4  # EL_MAX_SOURCES
ALL = 0xFFFFFFFF  # EL_ALL
MAX_STREAMS = 65536  # EL_MAX_STREAMS
SHORT = 100_000  # multiply-accumulates of a call, see `library_for`
MISSING: tuple[Missing, ...] = ("refuse", "ffill", "mask")  # in the order of EL_REFUSE ...
Bytes = NDArray[np.uint8]
Float32 = NDArray[np.float32]


class CLayer(NamedTuple):
    """A layer in the kernel's terms.

    type     a name in `layer_types`, such as "lstm"
    sources  the layers that it reads: 0 for the model's input, k + 1 for the earlier layer k
    option   see the layer's C file
    """

    type: str
    units: int
    sources: tuple[int, ...]
    option: int = 0


class CNetwork(NamedTuple):
    """The layers in the order in which they run. The last one's output is the model's."""

    inputs: int
    layers: tuple[CLayer, ...]


@functools.cache
def layer_types() -> dict[str, int]:
    """The list of layers in layers.h: name -> number in a model."""
    text = LIBRARY.with_name("layers.h").read_text("utf-8")
    listed = re.findall(r"^EL_LAYER\(\w+, (\d+), (\w+)\)", text, re.MULTILINE)
    return {file.replace("_", "-"): int(number) for number, file in listed}


def file_of(layer_type: str) -> str:
    """The name of the type's C file, without its ending."""
    return layer_type.replace("-", "_")


def network_of(network: Network) -> CNetwork:
    """The network in the kernel's terms, with the weights in the order of `network.weights`.

    Raises BackendUnavailableError, naming the layer, for a network that the kernel does not run.
    """
    if network.opaque:
        raise BackendUnavailableError(f"{network.opaque}; the C kernel runs layers")
    names = [FEATURES, *(layer.name for layer in network.layers)]
    layers = []
    for layer in network.layers:
        if why := _refusal(layer, network.sizes[layer.name][0]):
            raise BackendUnavailableError(
                f"layer {layer.name!r} {why}: the C kernel does not run this network; "
                "the backend numpy does"
            )
        sources = tuple(names.index(name) for name in layer.inputs)
        units = network.sizes[layer.name][1]
        layers.append(CLayer(layer.type, units, sources, _option(_settings(layer))))
    return CNetwork(network.features, tuple(layers))


def _refusal(layer: Layer, inputs: int) -> str | None:
    if layer.type not in (known := layer_types()):
        return f"is of type {layer.type!r} and the kernel has {', '.join(known)}"
    if len(layer.inputs) > MAX_SOURCES:
        return f"reads {len(layer.inputs)} others and the kernel takes up to {MAX_SOURCES}"
    if len(found := _settings(layer)) > 1 and tuple(found) != CONV:
        return f"has the settings {[*found.values()]} and the kernel takes one"
    # Those that are multiplied, or the rows of its table.
    rows = (shape[0] for shape in layer.weights(inputs).values() if len(shape) == 2)
    if (size := max(inputs, next(rows, 0))) > MAX_SIZE:
        return f"reads {size} values and the kernel takes up to {MAX_SIZE}"
    return None


def _settings(layer: Layer) -> dict[str, Any]:
    """The fields that a type has beside its units."""
    common = ("name", "inputs", "initial", "units")
    fields = (f.name for f in dataclasses.fields(layer) if f.name not in common)
    return {name: getattr(layer, name) for name in fields}


def _option(settings: Mapping[str, Any]) -> int:
    """A layer's settings as its option in C."""
    if tuple(settings) != CONV:
        return sum(map(_number, settings.values()))
    kernel, dilation, activation = map(_number, settings.values())
    return kernel - 1 | dilation - 1 << NUMBER_BITS | activation << 2 * NUMBER_BITS


def _number(setting: Any) -> int:
    """A name, a switch, a whole number, or the bits of a float."""
    if isinstance(setting, str):
        names = ACTIVATIONS if setting in ACTIVATIONS else OPERATIONS
        return names.index(setting)
    if isinstance(setting, float):
        return int(np.float32(setting).view(np.uint32))
    return int(setting)


class _Layer(ctypes.Structure):
    """el_layer"""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("type", "units", "option", "source_count")),
        ("source", ctypes.c_uint32 * MAX_SOURCES),
    ]


class _Network(ctypes.Structure):
    """el_network"""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("inputs", "layers", "precision")),
        ("layer", ctypes.POINTER(_Layer)),
    ]


def _in_c(network: CNetwork, precision: str) -> _Network:
    if precision not in PRECISIONS:
        raise BackendError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    layers = (_Layer * len(network.layers))()
    for found, layer in zip(layers, network.layers, strict=True):
        if layer.type not in layer_types():
            known = ", ".join(layer_types())
            raise BackendError(f"the native kernel has no layer {layer.type!r}; it has {known}")
        count = len(layer.sources)
        if count > MAX_SOURCES:
            raise BackendError(
                f"a layer has {count} sources; the native kernel takes up to {MAX_SOURCES}"
            )
        for value in (network.inputs, layer.units, layer.option, *layer.sources):
            if not 0 <= value <= 0xFFFFFFFF:  # ctypes would take it modulo 2^32
                raise BackendError(
                    f"a layer's units, option or source is {value}, which is no number of 32 bits"
                )
        found.type = layer_types()[layer.type]
        found.units = layer.units
        found.option = layer.option
        found.source_count = count
        found.source[:count] = layer.sources
    return _Network(network.inputs, len(layers), PRECISIONS.index(precision), layers)


class Bound(ctypes.Structure):
    """el_bound"""

    _fields_ = [(name, ctypes.c_void_p) for name in ("model", "state", "y", "processing", "last")]


class Processing(ctypes.Structure):
    """el_processing"""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("channels", "missing")),
        *((name, ctypes.c_void_p) for name in ("mean", "std", "offset", "scale", "residual")),
    ]


def _check_sum() -> None:
    """Raises OSError if the file is not the one that was built.

    Loading a file that was cut off or altered may end the process (SIGBUS, SIGSEGV).
    """
    stated = LIBRARY.with_name(LIBRARY.name + ".sha256")
    if not stated.exists():
        raise OSError(f"its checksum, {stated.name}, is not beside it")
    found = sha256(LIBRARY.read_bytes())
    if stated.read_bytes().split()[:1] != [found.encode()]:
        raise OSError(f"it is damaged or was altered: its checksum is not that of {stated.name}")


@functools.cache
def library() -> ctypes.CDLL:
    """The library, loaded once. Raises BackendUnavailableError if none runs here."""
    if not LIBRARY.exists():
        raise BackendUnavailableError(
            "the native library is not in this installation, which is the pure wheel or a source "
            "folder without it; install the wheel for this board (docs/native.md), or run there: "
            "python deploy/hatch_build.py"
        )
    try:
        _check_sum()
        found = ctypes.CDLL(str(LIBRARY))
        found.el_kernel_name.restype = ctypes.c_char_p
    except (OSError, AttributeError) as e:  # cut off, for another processor, or another library
        raise BackendUnavailableError(
            f"the native library {LIBRARY.name} can't be loaded here: {e}; install the wheel for "
            "this board again (docs/native.md), or in a source folder run: "
            "python deploy/hatch_build.py"
        ) from e
    return found


@functools.cache
def without_lock() -> ctypes.PyDLL:
    """The library for short calls, which keep Python's lock. Others go through `library`."""
    library()
    return ctypes.PyDLL(str(LIBRARY))


def library_for(work: int) -> ctypes.CDLL:
    """The library for calls of so many multiply-accumulates.

    Up to SHORT, a call takes some microseconds and keeps Python's lock: releasing it and taking it
    again would cost a part of that. During a longer call other threads run.
    """
    return without_lock() if work <= SHORT else library()


def kernels() -> tuple[str, ...]:
    """The kernels that this CPU runs, the fastest first."""
    names: list[str] = []
    while name := library().el_kernel_name(len(names)):
        names.append(name.decode())
    return tuple(names)


def call(function: str, *arguments: Any) -> None:
    """Call a function of the library. Raises BackendError unless its status is EL_OK."""
    status = getattr(library(), function)(*arguments)
    if status:
        describe = library().el_status_name
        describe.restype = ctypes.c_char_p
        raise BackendError(
            f"{function} of the native library answered {describe(status).decode()}; "
            "arguments: see native/edge_lstm.h"
        )


def address(array: NDArray[Any]) -> ctypes.c_void_p:
    """The address of its first value. Keep the array while the address is in use.

    The array must be contiguous.
    """
    return ctypes.c_void_p(array.ctypes.data)


def _aligned(size: int) -> Bytes:
    buffer = np.zeros(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size]


def make_model(
    network: CNetwork,
    weights: Float32,
    precision: str,
    kernel: str | None = None,
    steps: Float32 | None = None,
) -> Bytes:
    """The bytes of a model, laid out for a kernel: the fastest here if `kernel` is None.

    precision: one of PRECISIONS. weights: (N,), steps: (M,) or None, see el_model_init in
    edge_lstm.h. Raises BackendError for a network, precision, kernel, weights or steps that the
    library doesn't take.
    """
    described = _in_c(network, precision)
    name = kernel.encode() if kernel else None
    size = ctypes.c_size_t()
    count = ctypes.c_size_t()
    columns = ctypes.c_size_t()
    call("el_weight_values", ctypes.byref(described), ctypes.byref(count), ctypes.byref(columns))
    for what, array, length in (("weights", weights, count), ("steps", steps, columns)):
        expected = (length.value,)
        if array is not None and (
            array.dtype != np.float32 or array.shape != expected or not array.flags.c_contiguous
        ):
            raise BackendError(
                f"{what} are {array.dtype}{array.shape}, expected contiguous float32{expected}"
            )
    call("el_model_bytes", ctypes.byref(described), name, ctypes.byref(size))
    model = _aligned(size.value)
    given = None if steps is None else address(steps)
    call(
        "el_model_init",
        address(model),
        size,
        ctypes.byref(described),
        name,
        address(weights),
        given,
    )
    return model


def make_state(model: Bytes, streams: int, kernel: str | None = None) -> Bytes:
    """The bytes of the zero state of so many streams of this model.

    Raises BackendError for a number of streams or a kernel that the library doesn't take.
    """
    if not 1 <= streams <= MAX_STREAMS:
        raise BackendError(f"{streams} streams, expected 1 to {MAX_STREAMS}")
    size = ctypes.c_size_t()
    call("el_state_bytes", address(model), ctypes.c_uint32(streams), ctypes.byref(size))
    state = _aligned(size.value)
    name = kernel.encode() if kernel else None
    call("el_state_init", address(state), size, address(model), name, ctypes.c_uint32(streams))
    return state
