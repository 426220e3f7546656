"""The C kernel of this folder, as a module of Python (deploy/extension).

A wheel for a platform has it, built as _kernel.abi3.so. The pure wheel lacks it.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import re
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..digest import sha256
from ..errors import BackendError, BackendUnavailableError
from ..inputs.channels import Missing
from ..layers import FEATURES, Layer
from ..model.network import Network

if TYPE_CHECKING:
    from . import _kernel

LIBRARY = Path(__file__).with_name("_kernel.abi3.so")
PRECISIONS = ("float32", "int8", "float16")  # in the order of el_precision
ACTIVATIONS = ("none", "tanh", "relu", "sigmoid")  # in the order of EL_NONE, EL_TANH ...
OPERATIONS = ("add", "mul", "concat")  # in the order of EL_ADD, EL_MUL, EL_CONCAT
CONV = ("kernel", "dilation", "activation")  # what EL_CONV puts into one option
NUMBER_BITS = 14  # of each of its numbers
ALIGNMENT = 64  # EL_ALIGNMENT
MAX_SIZE = 16384  # EL_MAX_SIZE
MAX_SOURCES = 4  # EL_MAX_SOURCES
ALL = 0xFFFFFFFF  # EL_ALL
MAX_STREAMS = 65536  # EL_MAX_STREAMS
SHORT = 100_000  # multiply-accumulates of a step, see `releases`
MISSING: tuple[Missing, ...] = ("refuse", "ffill", "mask")  # in the order of EL_REFUSE ...
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


def _in_c(network: CNetwork, precision: str) -> tuple[bytes, int, int]:
    """The layers, each as an el_layer, the inputs and the precision."""
    if precision not in PRECISIONS:
        raise BackendError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    rows = []
    for layer in network.layers:
        if layer.type not in layer_types():
            known = ", ".join(layer_types())
            raise BackendError(f"the native kernel has no layer {layer.type!r}; it has {known}")
        count = len(layer.sources)
        if count > MAX_SOURCES:
            raise BackendError(
                f"a layer has {count} sources; the native kernel takes up to {MAX_SOURCES}"
            )
        for value in (network.inputs, layer.units, layer.option, *layer.sources):
            if not 0 <= value <= 0xFFFFFFFF:  # NumPy would refuse it in words of its own
                raise BackendError(
                    f"a layer's units, option or source is {value}, which is no number of 32 bits"
                )
        unused = (0,) * (MAX_SOURCES - count)
        number = layer_types()[layer.type]
        rows.append((number, layer.units, layer.option, count, *layer.sources, *unused))
    return np.array(rows, np.uint32).tobytes(), network.inputs, PRECISIONS.index(precision)


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
def library() -> ModuleType:
    """The library, loaded once. Raises BackendUnavailableError if none runs here."""
    if not LIBRARY.exists():
        raise BackendUnavailableError(
            "the native library is not in this installation, which is the pure wheel or a source "
            "folder without it; install the wheel for this board (docs/native.md), or run there: "
            "python deploy/hatch_build.py"
        )
    if ".abi3.so" not in EXTENSION_SUFFIXES:
        raise BackendUnavailableError(
            f"the native library {LIBRARY.name} is for Python's stable ABI, which this Python "
            "does not have (it has no global lock, or is not CPython); numpy takes its place"
        )
    try:
        _check_sum()
        loader = ExtensionFileLoader(f"{__name__}._kernel", str(LIBRARY))
        spec = importlib.util.spec_from_loader(loader.name, loader)
        assert spec is not None
        found = importlib.util.module_from_spec(spec)
        loader.exec_module(found)
    except (OSError, ImportError, BackendError) as e:  # cut off, of another processor or program
        raise BackendUnavailableError(
            f"the native library {LIBRARY.name} can't be loaded here: {e}; install the wheel for "
            "this board again (docs/native.md), or in a source folder run: "
            "python deploy/hatch_build.py"
        ) from e
    return found


def releases(work: int) -> bool:
    """Whether other threads run during a step of so many multiply-accumulates.

    Up to SHORT, a step takes some microseconds and keeps Python's lock: releasing it and taking it
    again would cost a part of that.
    """
    return work > SHORT


def kernels() -> tuple[str, ...]:
    """The kernels that this CPU runs, the fastest first."""
    names: list[str] = []
    while name := library().kernel_name(len(names)):
        names.append(name)
    return tuple(names)


def make_net(
    network: CNetwork,
    weights: Float32,
    precision: str,
    kernel: str | None = None,
    steps: Float32 | None = None,
    streams: int = 1,
) -> _kernel.Net:
    """A model, laid out for a kernel (the fastest here if `kernel` is None), and its zero states.

    precision: one of PRECISIONS. weights: (N,), steps: (M,) or None, see el_model_init in
    edge_lstm.h. Raises BackendError for a network, precision, kernel, weights, steps or a number of
    streams that the library doesn't take.
    """
    if not 1 <= streams <= MAX_STREAMS:
        raise BackendError(f"{streams} streams, expected 1 to {MAX_STREAMS}")
    described = _in_c(network, precision)
    lengths = library().weight_values(*described)
    for what, array, length in zip(("weights", "steps"), (weights, steps), lengths, strict=True):
        if array is not None and (
            array.dtype != np.float32 or array.shape != (length,) or not array.flags.c_contiguous
        ):
            raise BackendError(
                f"{what} are {array.dtype}{array.shape}, expected contiguous float32{(length,)}"
            )
    net: _kernel.Net = library().Net(*described, weights, steps, kernel, streams)
    return net
