"""The C kernel with int8 weights.

They are those of the bundle's int8.npz. If it has none, its float32 weights are rounded here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendUnavailableError, BundleError
from ..layers import Shape
from ..model.network import Network
from ..model.spec import ModelSpec
from .native import FACTS as FLOAT32_FACTS
from .native import NativeBackend

if TYPE_CHECKING:
    from ..model.bundle import Bundle

MEMBER = "int8.npz"
FACTS = dataclasses.replace(FLOAT32_FACTS, number_format="int8", promise="native_int8")
_LARGEST_STEP = 1e30  # 127 times as much is far from overflow
Arrays = dict[str, NDArray[np.float32]]


def int8_products(network: Network) -> dict[str, Shape]:
    """The matrices that the kernel computes in int8, such as "lstm0.W_x" -> shape.

    These are those of the layers that multiply their state. The others, such as a dense head, stay
    float32.
    """
    found: dict[str, Shape] = {}
    for layer in network.layers:
        inputs, _ = network.sizes[layer.name]
        if layer.multiplies_state:
            shapes = layer.weights(inputs)
            found |= {f"{layer.name}.{n}": shape for n, shape in shapes.items() if len(shape) == 2}
    return found


def read_int8(
    spec: ModelSpec, arrays: Mapping[str, NDArray[Any]]
) -> tuple[Arrays, NDArray[np.float32]]:
    """From the arrays of int8.npz: the weights that they replace, in float32, and the steps.

    Raises BundleError for other arrays than docs/bundle.md lists, for an int8 value of -128, for a
    step that is not above 0 and below 1e30, and for a bias that is not finite.
    """
    network = spec.network
    products = int8_products(network)
    expected: dict[str, tuple[type[np.generic], Shape]] = {}
    for name, shape in products.items():
        expected |= {name: (np.int8, shape), f"{name}.step": (np.float32, shape[1:])}
    layers = {name.split(".")[0] for name in products}
    for name, shape in network.weights.items():
        if name.split(".")[0] in layers and name not in products:
            expected[name] = (np.float32, shape)
    found = {name: (array.dtype.type, array.shape) for name, array in arrays.items()}
    if found != expected:
        raise BundleError(
            f"{MEMBER} holds other arrays than this model's int8 weights; export the bundle again"
        )
    for name, array in arrays.items():
        if array.dtype == np.int8:
            good = array.min() >= -127
        elif name.endswith(".step"):
            good = ((array > 0) & (array < _LARGEST_STEP)).all()
        else:
            good = np.isfinite(array).all()
        if not good:
            raise BundleError(f"{MEMBER}: {name} has values out of bounds; export the bundle again")
    weights = {
        name: arrays[name].astype(np.float32) * arrays[f"{name}.step"]
        if name in products
        else arrays[name].astype(np.float32)
        for name in expected
        if not name.endswith(".step")
    }
    steps = [np.empty(0, np.float32), *(arrays[f"{name}.step"] for name in products)]
    return weights, np.concatenate(steps)  # of no layer, if none multiplies its state


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> NativeBackend:
    return _open(bundle, None)


def open_streams(bundle: Bundle, streams: int, *, artifact: str | None = None) -> NativeBackend:
    return _open(bundle, streams)


def _open(bundle: Bundle, streams: int | None) -> NativeBackend:
    if MEMBER not in bundle.members:
        if bundle.spec.answer.imported:
            raise BackendUnavailableError(
                f"the bundle has no {MEMBER}; {bundle.spec.answer.make} again"
            )
        return NativeBackend(bundle.spec, bundle.weights, "int8", streams=streams)
    layers, steps = read_int8(bundle.spec, bundle.arrays(MEMBER))
    return NativeBackend(
        bundle.spec, {**bundle.weights, **layers}, "int8", streams=streams, steps=steps
    )
