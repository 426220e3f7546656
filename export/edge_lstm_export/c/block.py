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

from edge_lstm_runtime import ConversionError, ModelSpec
from edge_lstm_runtime.backends.native_int8 import read_int8
from edge_lstm_runtime.backends.reference import Float64, lstm_cell

from ..quantize.cpu_int8 import Arrays

Float32 = NDArray[np.float32]
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


def check_sizes(spec: ModelSpec, scheme: str) -> None:
    """Raise ConversionError for a model that the kernel does not take."""
    if spec.whole:
        raise ConversionError(
            "the model is bidirectional and the C kernel streams forward only; train with bidirectional = false"
        )
    for what, size in (
        ("hidden_size", spec.hidden_size),
        ("input features", spec.inputs.feature_size),
        ("outputs", spec.answer.size),
    ):
        if size > MAX_SIZE:
            raise ConversionError(
                f"{what} is {size}; the C kernel takes up to {MAX_SIZE}: train a smaller model"
            )
    if (size := model_bytes(spec, scheme)) > MAX_BYTES:
        raise ConversionError(
            f"the model has {size} bytes; the C kernel takes up to {MAX_BYTES}: train a smaller model"
        )


def model_bytes(spec: ModelSpec, scheme: str) -> int:
    """What el_model_bytes answers: all of the model that lies in flash."""
    H, per_weight = spec.hidden_size, 1 if scheme == "int8" else 4
    rows = 5 if scheme == "int8" else 1
    size = ALIGNMENT
    for k in range(spec.num_layers):
        values = _up(spec.layer_input_size(k), 4) + _up(H, 4)
        size += 4 * _up(H, LANES) * (4 * rows + per_weight * values)
    size += 4 * _up(spec.answer.size, HEAD_LANES) * (1 + H)
    return _up(size, ALIGNMENT)


def state_bytes(spec: ModelSpec, scheme: str) -> int:
    """What el_state_bytes answers for one stream: the RAM that the kernel needs."""
    x, row = (
        _up(spec.inputs.feature_size, 16),
        _up(spec.hidden_size, 16),
    )  # values, in rows of a multiple of 64 bytes
    size = (
        STATE_HEADER
        + 4 * (x + 3 * spec.num_layers * row)
        + _up(4 * _up(spec.answer.size, HEAD_LANES), ALIGNMENT)
    )
    if scheme == "int8":
        size += _up(max(x, row), ALIGNMENT) + _up(row, ALIGNMENT) + ALIGNMENT
    return size


def quantise(W: Float32) -> tuple[NDArray[np.int8], Float32]:
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
    for k in range(spec.num_layers):
        for part in "xh":
            arrays[f"layer{k}.W_{part}"], arrays[f"layer{k}.step_{part}"] = quantise(
                weights[f"layer{k}.W_{part}"]
            )
        arrays[f"layer{k}.b"] = weights[f"layer{k}.b"]
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
    sizes = (
        spec.inputs.feature_size,
        spec.hidden_size,
        spec.num_layers,
        spec.answer.size,
        PRECISIONS[scheme],
    )
    block = struct.pack("<9I28x", MAGIC, VERSION, LANES, *sizes, size)
    for k in range(spec.num_layers):
        given: Mapping[str, NDArray[Any]] = int8 if scheme == "int8" else weights
        W_x, W_h, b = (given[f"layer{k}.{name}"] for name in ("W_x", "W_h", "b"))
        if scheme == "int8":
            block += _int8_layer(
                (W_x, W_h), (int8[f"layer{k}.step_x"], int8[f"layer{k}.step_h"]), b
            )
        else:
            block += _float_layer(W_x, W_h, b)
    W, b = weights["head.W"], weights["head.b"]
    rows = np.zeros((1 + len(W), _up(len(b), HEAD_LANES)), np.float32)
    rows[:, : len(b)] = np.concatenate([b[None], W])
    block += rows.reshape(len(rows), -1, HEAD_LANES).transpose(1, 0, 2).tobytes()
    return block.ljust(size, b"\0")


def run_int8(
    spec: ModelSpec, weights: Mapping[str, Float32], int8: Arrays, rows: Float64
) -> Float64:
    """The features (steps, F) of a stream -> outputs (steps, O), from the zero state: rounded to int8 as the kernel does, else float64."""
    layers = read_int8(spec, int8)[0]
    used: dict[str, Float64] = {
        name: W.astype(np.float64) for name, W in {**weights, **layers}.items()
    }
    h, c = np.zeros((2, spec.num_layers, spec.hidden_size))
    outputs = []
    for row in rows:
        x = row
        for k in range(spec.num_layers):
            W_x, W_h, b = (used[f"layer{k}.{name}"] for name in ("W_x", "W_h", "b"))
            h[k], c[k] = lstm_cell(_rounded(x), _rounded(h[k]), c[k], W_x, W_h, b)
            x = h[k]
        outputs.append(x @ used["head.W"] + used["head.b"])
    return np.stack(outputs)


def _rounded(v: Float64) -> Float64:
    """As the kernel rounds what an int8 layer is multiplied with: 127 for the largest value of each step."""
    largest = np.abs(v).max()
    return np.rint(v * (127 / largest)) * (largest / 127) if largest > 1e-30 else np.zeros_like(v)
