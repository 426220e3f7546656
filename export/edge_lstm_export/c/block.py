"""A model as the C kernel's one block of bytes, laid out for its `portable` kernel, and what the kernel makes of it in int8.

The layout is the kernel's: it is described at the top of edge_lstm.c, and `el_model_init` writes it. It is written here once more so
that an export needs neither a compiler nor a library for this machine, and gives the same bytes on all of them; the tests compare the
two byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import BackendUnavailableError, ConversionError, ModelSpec
from edge_lstm_runtime.backends.native_int8 import read_int8
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.ops import NUMPY
from edge_lstm_runtime.native import _lstm_chain

from ..quantize.cpu_int8 import Arrays

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
PRECISIONS = {"float32": 0, "int8": 1}  # scheme -> el_precision
LANES = HEAD_LANES = 4
ALIGNMENT = 64
MAGIC, VERSION = 0x4D4C4C45, 1
MAX_SIZE = 16384  # EL_MAX_SIZE
MAX_BYTES = 2**31 - 1
STATE_HEADER = 128  # sizeof(struct el_state), rounded up, with pointers of 32 and of 64 bits
FACTORS = -np.log2(np.e) * np.array(
    [1.0, 1.0, 2.0, 1.0]
)  # of the gates i, f, g, o: the kernel works with powers of two


def _up(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def lstm_chain(spec: ModelSpec) -> tuple[int, int]:
    """How many LSTM layers of how many units. Raises ConversionError for another network."""
    if spec.whole:
        raise ConversionError(
            "the model is bidirectional and the C kernel streams forward only; train with bidirectional = false"
        )
    try:
        found = _lstm_chain(spec)
    except BackendUnavailableError:
        found = None
    # `_lstm_chain` doesn't ask for the head's activation, and the kernel has none.
    if found is None or getattr(spec.network.layers[-1], "activation", "none") != "none":
        titles = " -> ".join(layer.title for layer in spec.network.layers)
        raise ConversionError(
            f"the network is {titles} and the C kernel takes LSTM layers of one size, each reading "
            "the one before, and a dense head without activation; train such a network"
        )
    return found


def _lstm_layers(spec: ModelSpec) -> tuple[Layer, ...]:
    return spec.network.layers[:-1]


def check_sizes(spec: ModelSpec, scheme: str) -> None:
    """Raise ConversionError for a model that the kernel does not take."""
    lstm_chain(spec)
    if (features := spec.inputs.feature_size) > MAX_SIZE:  # no layer has more units than that
        raise ConversionError(
            f"{features} features enter the network; the C kernel takes up to {MAX_SIZE}: "
            "train on fewer channels"
        )
    if (size := model_bytes(spec, scheme)) > MAX_BYTES:
        raise ConversionError(
            f"the model has {size} bytes; the C kernel takes up to {MAX_BYTES}: train a smaller model"
        )


def model_bytes(spec: ModelSpec, scheme: str) -> int:
    """What el_model_bytes answers: all of the model that lies in flash."""
    _, H = lstm_chain(spec)
    per_weight = 1 if scheme == "int8" else 4
    rows = 5 if scheme == "int8" else 1
    size = ALIGNMENT
    for layer in _lstm_layers(spec):
        inputs, _ = spec.network.sizes[layer.name]
        values = _up(inputs, 4) + _up(H, 4)
        size += 4 * _up(H, LANES) * (4 * rows + per_weight * values)
    size += 4 * _up(spec.answer.size, HEAD_LANES) * (1 + H)
    return _up(size, ALIGNMENT)


def state_bytes(spec: ModelSpec, scheme: str) -> int:
    """What el_state_bytes answers for one stream: the RAM that the kernel needs."""
    layers, hidden = lstm_chain(spec)
    x = _up(spec.inputs.feature_size, 16)  # values, in rows of a multiple of 64 bytes
    row = _up(hidden, 16)
    outputs: int = _up(4 * _up(spec.answer.size, HEAD_LANES), ALIGNMENT)
    size = STATE_HEADER + 4 * (x + 3 * layers * row) + outputs
    if scheme == "int8":
        size += _up(max(x, row), ALIGNMENT) + _up(row, ALIGNMENT) + ALIGNMENT
    return size


def quantize(W: Float32) -> tuple[NDArray[np.int8], Float32]:
    """W (n, columns) -> q (n, columns) and the step of each column (columns,): W is about q * step, and the largest q is 127."""
    step = (np.abs(W).max(axis=0) / np.float32(127)).astype(np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.where(step > np.float32(1e-30), np.float32(1) / step, np.float32(0))
    scaled = W * inverse
    return (scaled + np.where(scaled < 0, np.float32(-0.5), np.float32(0.5))).astype(np.int8), step


def _tiled(rows: NDArray[np.generic], multiple: int = 1) -> NDArray[np.generic]:
    """(n, 4 H) -> (tiles, n, 4 gates, LANES), with zeros for n up to a multiple and for the units that fill up the last tile."""
    n, H = rows.shape[0], rows.shape[1] // 4
    padded = np.zeros((_up(n, multiple), 4, _up(H, LANES)), rows.dtype)
    padded[:n, :, :H] = rows.reshape(n, 4, H)
    return padded.reshape(len(padded), 4, -1, LANES).transpose(2, 0, 1, 3)


def _bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(tiles, ...) -> (tiles, bytes)"""
    return np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)


def plain_int8(spec: ModelSpec, weights: Mapping[str, Float32]) -> Arrays:
    """The arrays of int8.npz (docs/bundle.md) as el_model_init makes them without being given any: plainly rounded."""
    arrays: Arrays = {}
    for layer in _lstm_layers(spec):
        for name in (f"{layer.name}.W_x", f"{layer.name}.W_h"):
            arrays[name], arrays[f"{name}.step"] = quantize(weights[name])
        arrays[f"{layer.name}.b"] = weights[f"{layer.name}.b"]
    return arrays


def _factor(b: Float32) -> Float64:
    """(4 H,) what the kernel's rows are multiplied with."""
    return np.repeat(FACTORS, len(b) // 4)


def _scaled(array: Float32, b: Float32) -> Float32:
    scaled: Float32 = (array.astype(np.float64) * _factor(b)).astype(np.float32)
    return scaled


def _float_layer(W_x: Float32, W_h: Float32, b: Float32) -> bytes:
    parts = _tiled(_scaled(b, b)[None]), *(_tiled(_scaled(W, b), 4) for W in (W_x, W_h))
    return np.concatenate([_bytes(part) for part in parts], axis=1).tobytes()


def _int8_layer(W: Sequence[NDArray[Any]], steps: Sequence[Float32], b: Float32) -> bytes:
    """W, steps: of the input and of h."""
    scales = np.stack([_scaled(step, b) for step in steps])
    sums = np.stack([128 * q.astype(np.int32).sum(axis=0, dtype=np.int32) for q in W])
    columns = [_bytes(_tiled(_scaled(b, b)[None])), _bytes(_tiled(scales)), _bytes(_tiled(sums))]
    for q in W:
        tiles = _tiled(q, 4)  # (tiles, n, gate, lane) -> for each 4 values, gate, lane: 4 weights
        columns.append(_bytes(tiles.reshape(len(tiles), -1, 4, 4, LANES).transpose(0, 1, 3, 4, 2)))
    return np.concatenate(columns, axis=1).tobytes()


def pack(spec: ModelSpec, weights: Mapping[str, Float32], scheme: str, int8: Arrays) -> bytes:
    """The block for canonical weights, little-endian. scheme: of PRECISIONS. int8: see `plain_int8`; for that scheme alone.

    Raises ConversionError for what the kernel does not take.
    """
    check_sizes(spec, scheme)
    size = model_bytes(spec, scheme)
    layers, hidden = lstm_chain(spec)
    sizes = (spec.inputs.feature_size, hidden, layers, spec.answer.size, PRECISIONS[scheme])
    block = struct.pack("<9I28x", MAGIC, VERSION, LANES, *sizes, size)
    given: Mapping[str, NDArray[Any]] = int8 if scheme == "int8" else weights
    for layer in _lstm_layers(spec):
        own = spec.network.own(layer, given)
        W_x, W_h, b = (own[name] for name in ("W_x", "W_h", "b"))
        if scheme == "int8":
            block += _int8_layer((W_x, W_h), (own["W_x.step"], own["W_h.step"]), b)
        else:
            block += _float_layer(W_x, W_h, b)
    head = spec.network.own(spec.network.layers[-1], weights)
    W, b = head["W"], head["b"]
    rows = np.zeros((1 + len(W), _up(len(b), HEAD_LANES)), np.float32)
    rows[:, : len(b)] = np.concatenate([b[None], W])
    block += rows.reshape(len(rows), -1, HEAD_LANES).transpose(1, 0, 2).tobytes()
    return block.ljust(size, b"\0")


def run_int8(
    spec: ModelSpec, weights: Mapping[str, Float32], int8: Arrays, rows: Float64
) -> Float64:
    """The features (steps, F) of a stream -> outputs (steps, O), from the zero state: rounded to int8 as the kernel does, else float64."""
    network = spec.network
    rounded = read_int8(spec, int8)[0]
    exact = {name: W.astype(np.float64) for name, W in {**weights, **rounded}.items()}
    used = {layer.name: network.own(layer, exact) for layer in network.layers}

    def product(layer: Layer, name: str, v: Float64) -> Float64:
        found: Float64 = (_rounded(v) if layer in _lstm_layers(spec) else v) @ used[layer.name][
            name
        ]
        return found

    state = network.zero_state(np.float64)
    outputs = []
    for row in rows:
        y, state = network.step(NUMPY, product, used, row, state)
        outputs.append(y)
    return np.stack(outputs)


def _rounded(v: Float64) -> Float64:
    """As the kernel rounds what an int8 layer is multiplied with: 127 for the largest value of each step."""
    largest = np.abs(v).max()
    return np.rint(v * (127 / largest)) * (largest / 127) if largest > 1e-30 else np.zeros_like(v)
