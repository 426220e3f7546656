"""The C kernel with int8 weights: those of the bundle's int8.npz, or its float32 weights rounded here where it has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError
from ..model.spec import ModelSpec
from .native import FACTS as FLOAT32_FACTS
from .native import NativeBackend

if TYPE_CHECKING:
    from ..model.bundle import Bundle

MEMBER = "int8.npz"
FACTS = dataclasses.replace(FLOAT32_FACTS, number_format="int8")
_LARGEST_STEP = 1e30  # 127 times as much is far from overflow
Arrays = dict[str, NDArray[np.float32]]


def read_int8(spec: ModelSpec, arrays: Mapping[str, NDArray[Any]]) -> tuple[Arrays, NDArray[np.float32]]:
    """The arrays of int8.npz -> each layer's W_x, W_h and b in float32, and the steps for the kernel, see native/edge_lstm.h.

    Raises BundleError for other arrays than docs/bundle.md lists, int8 of -128, steps that are not above 0 and below 1e30, or b that is
    not finite.
    """
    gates = 4 * spec.hidden_size
    expected: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {}
    for k in range(spec.num_layers):
        expected |= {f"layer{k}.W_x": (np.int8, (spec.layer_input_size(k), gates)), f"layer{k}.W_h": (np.int8, (spec.hidden_size, gates))}
        expected |= {f"layer{k}.{name}": (np.float32, (gates,)) for name in ("b", "step_x", "step_h")}
    found = {name: (array.dtype.type, array.shape) for name, array in arrays.items()}
    if found != expected:
        raise BundleError(f"{MEMBER} holds other arrays than this model's int8 weights; export the bundle again")
    for name, array in arrays.items():
        if array.dtype == np.int8:
            good = array.min() >= -127
        elif name.endswith(".b"):
            good = np.isfinite(array).all()
        else:
            good = ((array > 0) & (array < _LARGEST_STEP)).all()
        if not good:
            raise BundleError(f"{MEMBER}: {name} has values out of bounds; export the bundle again")
    layers: Arrays = {}
    steps = []
    for k in range(spec.num_layers):
        for part in "xh":
            step = arrays[f"layer{k}.step_{part}"].astype(np.float32)
            layers[f"layer{k}.W_{part}"] = arrays[f"layer{k}.W_{part}"].astype(np.float32) * step
            steps.append(step)
        layers[f"layer{k}.b"] = arrays[f"layer{k}.b"].astype(np.float32)
    return layers, np.concatenate(steps)


def open_backend(bundle: Bundle, *, artifact: str | None = None) -> NativeBackend:
    return _open(bundle, None)


def open_streams(bundle: Bundle, streams: int, *, artifact: str | None = None) -> NativeBackend:
    return _open(bundle, streams)


def _open(bundle: Bundle, streams: int | None) -> NativeBackend:
    if MEMBER not in bundle.members:
        return NativeBackend(bundle.spec, bundle.weights, "int8", streams=streams)
    layers, steps = read_int8(bundle.spec, bundle.arrays(MEMBER))
    return NativeBackend(bundle.spec, {**bundle.weights, **layers}, "int8", streams=streams, steps=steps)
