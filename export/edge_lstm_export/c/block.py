"""A model as the C kernel's one block of bytes, laid out for its `portable` kernel, and the
kernel's answers in int8.

The layout is the kernel's. The top of tiles.h describes it, and `el_model_init` writes it. It is
written here once more, so that an export needs neither a compiler nor a library for this machine,
and gives the same bytes on all of them. The tests compare the two byte for byte.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import BackendUnavailableError, ConversionError, ModelSpec
from edge_lstm_runtime.backends.native_int8 import int8_products, read_int8
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.ops import NUMPY
from edge_lstm_runtime.native import (
    ALIGNMENT,
    MAX_SOURCES,
    PRECISIONS,
    CLayer,
    CNetwork,
    layer_types,
    network_of,
)

from ..quantize.cpu_int8 import Arrays
from .layers import Form, Stage, form_of

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
LANES = 4
MAGIC = 0x4D4C4C45
VERSION = 2
MAX_BYTES = 2**31 - 1
# With pointers of 64 bits. With those of 32 bits a state takes less.
STATE_HEADER = 96  # sizeof(el_state)
STATE_LAYER = 72  # sizeof(work)
STATE_COPY = 40  # sizeof(copy)


def _up(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def c_network(spec: ModelSpec) -> CNetwork:
    """Raises ConversionError if the kernel does not run the network."""
    if spec.whole:
        raise ConversionError(
            "the model is bidirectional and the C kernel streams forward only; "
            "expected one that reads forward"
        )
    try:
        return network_of(spec.network)
    except BackendUnavailableError as e:
        raise ConversionError(f"{e}") from e


def check_sizes(spec: ModelSpec, scheme: str) -> None:
    """Raise ConversionError if the kernel does not take the model."""
    network = c_network(spec)
    if scheme == "int8" and not int8_products(spec.network):
        raise ConversionError(
            "int8 rounds the products of recurrent layers and the model has none; "
            "export it with --scheme float32"
        )
    if (size := model_bytes(network, scheme)) > MAX_BYTES:
        raise ConversionError(f"the model has {size} bytes; the C kernel takes up to {MAX_BYTES}")


@dataclasses.dataclass(frozen=True)
class Part:
    """A layer in a scheme, with the sizes that follow from both."""

    layer: CLayer
    inputs: int
    form: Form
    int8: bool
    half: bool

    @property
    def rows(self) -> int:
        """Of W_x."""
        return self.inputs if self.form.rows is None else self.form.rows

    @property
    def tiles(self) -> int:
        return _up(self.layer.units, LANES) // LANES

    @property
    def lengths(self) -> tuple[int, int, int]:
        """The lengths of the vectors that are multiplied: the input, the output of the step
        before, and the first stage's result."""
        multiple = 4 if self.form.states else 1
        units = _up(self.layer.units, multiple)
        return _up(self.rows, multiple), units, units

    @property
    def bytes(self) -> int:
        size = 0
        for stage in self.form.stages:
            weights = sum(
                _up(n, 2 if self.half else 1) * len(product.columns)
                for n, product in zip(self.lengths, stage.products, strict=True)
            )
            size += 4 * len(stage.biases)
            if self.half:
                size += 4 * len(stage.biases) + 2 * weights
            else:
                size += 8 * stage.columns + weights if self.int8 else 4 * weights
        return _up(size * LANES * self.tiles, ALIGNMENT)


def _parts(network: CNetwork, scheme: str) -> list[Part]:
    parts = []
    for layer in network.layers:
        inputs = sum(
            network.layers[source - 1].units if source else network.inputs
            for source in layer.sources
        )
        form = form_of(layer, inputs)
        half = scheme == "float16" and any(stage.columns for stage in form.stages)
        parts.append(Part(layer, inputs, form, scheme == "int8" and form.states > 0, half))
    return parts


def _table_bytes(network: CNetwork) -> int:
    return _up((4 + MAX_SOURCES) * 4 * len(network.layers), ALIGNMENT)


def model_bytes(network: CNetwork, scheme: str) -> int:
    """The answer of el_model_bytes: all bytes of the model that lie in flash."""
    return ALIGNMENT + _table_bytes(network) + sum(part.bytes for part in _parts(network, scheme))


def state_bytes(network: CNetwork, scheme: str) -> int:
    """The answer of el_state_bytes for one stream, with pointers of 64 bits: the kernel's RAM."""
    parts = _parts(network, scheme)
    copies = [len(part.layer.sources) if len(part.layer.sources) > 1 else 0 for part in parts]

    def row(values: int) -> int:
        return _up(values, ALIGNMENT // 4)

    size = _up(
        STATE_HEADER + STATE_LAYER * len(parts) + STATE_COPY * sum(copies), ALIGNMENT
    ) + 4 * row(network.inputs)
    for part, several in zip(parts, copies, strict=True):
        rows = part.form.states + 1 if part.form.states else 1  # of the output and the states
        size += 4 * (row(part.inputs) if several else 0) + 4 * row(part.layer.units) * rows
        size += 4 * (row(1) + row(part.form.past)) if part.form.past else 0
    size += 4 * max(
        row(part.rows) if part.form.past else part.form.made * row(part.layer.units)
        for part in parts
    )
    quantized = [part for part in parts if part.int8]
    if quantized:
        rows_of = [
            (row(p.inputs), row(p.layer.units), row(p.layer.units) if p.form.made else 0)
            for p in quantized
        ]
        size += sum(_up(max(rows), ALIGNMENT) for rows in zip(*rows_of, strict=True)) + ALIGNMENT
    return size


def quantize(W: Float32) -> tuple[NDArray[np.int8], Float32]:
    """W (n, columns) -> q (n, columns) and the step of each column (columns,).

    W is about q * step, and the largest q is 127.
    """
    step = (np.abs(W).max(axis=0) / np.float32(127)).astype(np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.where(step > np.float32(1e-30), np.float32(1) / step, np.float32(0))
    scaled = W * inverse
    return (scaled + np.where(scaled < 0, np.float32(-0.5), np.float32(0.5))).astype(np.int8), step


def plain_int8(spec: ModelSpec, weights: Mapping[str, Float32]) -> Arrays:
    """The arrays of int8.npz (docs/bundle.md), plainly rounded.

    el_model_init makes the same if it is given none.
    """
    arrays: Arrays = {}
    products = int8_products(spec.network)
    for name in products:
        arrays[name], arrays[f"{name}.step"] = quantize(weights[name])
    layers = {name.split(".")[0] for name in products}
    biases = {n: w for n, w in weights.items() if n.split(".")[0] in layers and n not in products}
    return arrays | biases


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The canonical weights of a layer.

    W      W_x and, for a recurrent layer, W_h and W_n: float32, or int8 with `steps`
    b      all vectors, one after the other
    steps  of the columns of each
    """

    W: tuple[NDArray[Any], ...]
    b: Float32
    steps: tuple[Float32, ...] = ()


def parameters_of(
    spec: ModelSpec, weights: Mapping[str, Float32], scheme: str, int8: Arrays
) -> Iterator[Parameters]:
    """Those of each layer. int8: see `plain_int8`. It is read for that scheme alone."""
    network = spec.network
    rounded = int8_products(network) if scheme == "int8" else {}
    for layer in network.layers:
        shapes = layer.weights(network.sizes[layer.name][0])
        matrices = [f"{layer.name}.{name}" for name, shape in shapes.items() if len(shape) == 2]
        given = int8 if rounded.keys() & set(matrices) else weights
        steps = tuple(int8[f"{name}.step"] for name in matrices if name in rounded)
        vectors = [given[f"{layer.name}.{name}"] for name, s in shapes.items() if len(s) == 1]
        b = np.concatenate([np.empty(0, np.float32), *vectors])
        yield Parameters(tuple(given[name] for name in matrices), b, steps)


def _tiles(rows: NDArray[Any], length: int) -> NDArray[Any]:
    """(n, sums, units) -> (tiles, length, sums, LANES).

    Zeros fill the rows behind n, and the units that fill up the last tile.
    """
    n, sums, units = rows.shape
    padded = np.zeros((length, sums, _up(units, LANES)), rows.dtype)
    padded[:n, :, :units] = rows
    return padded.reshape(length, sums, -1, LANES).transpose(2, 0, 1, 3)


def in_half(weights: Mapping[str, Float32]) -> dict[str, Float32]:
    """Matrices with 11 significant bits, rounded to nearest, ties to even. Vectors are as they are.

    The kernel's float16 has these weights, but for those below 2^-28 of a sum's largest.
    """
    found = dict(weights)
    for name, W in weights.items():
        if W.ndim == 2:
            mantissa, exponent = np.frexp(W.astype(np.float64))
            found[name] = np.ldexp(np.rint(mantissa * 2048) / 2048, exponent).astype(np.float32)
    return found


def _powers(part: Part, stage: Stage, parameters: Parameters) -> NDArray[np.int64]:
    """(sums, units): n, where 2^n brings a sum's largest weight to 2^14 or more and below 2^15."""
    units = part.layer.units
    largest = np.zeros((len(stage.biases), units), np.float32)
    for product, matrix in zip(stage.products, parameters.W, strict=False):
        W = np.abs(matrix.reshape(len(matrix), -1, units)[:, list(product.columns)])
        sums = slice(product.first, product.first + len(product.columns))
        if product.columns:
            largest[sums] = np.maximum(largest[sums], W.max(axis=0))
    exponents = (largest.view(np.uint32) >> 23).astype(np.int64)
    found: NDArray[np.int64] = np.minimum(14 + 127 - exponents, 126)
    return found


def _stage(part: Part, stage: Stage, parameters: Parameters) -> bytes:
    """The tiles of a stage. Each has the biases, then the weights.

    In int8, the scales and 128 times the sums of all weights lie between the two. In float16, what
    each sum is to be multiplied by does.
    """
    units = part.layer.units
    factors = np.array(stage.factors)[None, :, None]
    b = parameters.b.astype(np.float64).reshape(-1, units)
    bias = np.stack(
        [sum((b[group] for group in groups), np.zeros(units)) for groups in stage.biases]
    )
    columns = [_tiles((bias * factors).astype(np.float32), 1)]
    scales: list[NDArray[Any]] = []
    sums: list[NDArray[Any]] = []
    weights: list[NDArray[Any]] = []
    powers = _powers(part, stage, parameters) if part.half else None
    if powers is not None:
        scales.append(_tiles((np.ldexp(1.0, -powers)[None] * factors).astype(np.float32), 1))
    for index, (product, length) in enumerate(zip(stage.products, part.lengths, strict=True)):
        if not product.columns:
            continue
        chosen = list(product.columns)
        matrix = parameters.W[index]
        W = matrix.reshape(len(matrix), -1, units)[:, chosen]
        factor = factors[:, product.first : product.first + len(chosen)]
        if powers is not None:
            exact = np.ldexp(W.astype(np.float64), powers[product.first :][: len(chosen)])
            halves = exact.astype(np.float32).astype("<f2").view(np.uint16)
            pairs = _tiles(halves, _up(length, 2)).reshape(part.tiles, -1, 2, len(chosen), LANES)
            weights.append(pairs.transpose(0, 1, 3, 2, 4))
            continue
        if not part.int8:
            weights.append(_tiles((W.astype(np.float64) * factor).astype(np.float32), length))
            continue
        step = parameters.steps[index].astype(np.float64).reshape(1, -1, units)[:, chosen]
        scales.append(_tiles((step * factor).astype(np.float32), 1))
        sums.append(_tiles(128 * W.sum(axis=0, dtype=np.int32)[None], 1))
        fours = _tiles(W, length).reshape(part.tiles, -1, 4, len(chosen), LANES)
        # for each 4 values, for each sum, for each lane: 4 weights
        weights.append(fours.transpose(0, 1, 3, 4, 2))
    everything = [
        np.ascontiguousarray(part_of).reshape(part.tiles, -1).view(np.uint8)
        for part_of in (*columns, *scales, *sums, *weights)
    ]
    return np.concatenate(everything, axis=1).tobytes()


def _fingerprint(words: NDArray[np.uint32]) -> int:
    """FNV-1a of 64 bits, over words."""
    found = 0xCBF29CE484222325
    for word in words.tolist():
        found = (found ^ word) * 0x100000001B3 % 2**64
    return found


def pack(network: CNetwork, parameters: Iterable[Parameters], scheme: str) -> bytes:
    """The block, little-endian. parameters: of each layer. scheme: of PRECISIONS."""
    facts = (
        model_bytes(network, scheme),
        LANES,
        network.inputs,
        len(network.layers),
        PRECISIONS.index(scheme),
    )
    described = struct.pack("<5I28x", *facts)
    for layer in network.layers:
        sources = (*layer.sources, *(0,) * (MAX_SOURCES - len(layer.sources)))
        described += struct.pack(
            "<8I",
            layer_types()[layer.type],
            layer.units,
            layer.option,
            len(layer.sources),
            *sources,
        )
    block = (
        struct.pack("<2IQ", MAGIC, VERSION, _fingerprint(np.frombuffer(described, "<u4")))
        + described
    )
    block = block.ljust(ALIGNMENT + _table_bytes(network), b"\0")
    for part, own in zip(_parts(network, scheme), parameters, strict=True):
        packed = b"".join(_stage(part, stage, own) for stage in part.form.stages)
        block += packed.ljust(part.bytes, b"\0")
    return block


def run_int8(
    spec: ModelSpec, weights: Mapping[str, Float32], int8: Arrays, rows: Float64
) -> Float64:
    """The features (steps, F) of a stream -> outputs (steps, O), from the zero state.

    Values are rounded to int8 as in the kernel, and the rest is float64.
    """
    network = spec.network
    rounded = read_int8(spec, int8)[0]
    exact = {name: W.astype(np.float64) for name, W in {**weights, **rounded}.items()}
    used = {layer.name: network.own(layer, exact) for layer in network.layers}
    products = int8_products(network)

    def product(layer: Layer, name: str, v: Float64) -> Float64:
        entering = _rounded(v) if f"{layer.name}.{name}" in products else v
        found: Float64 = entering @ used[layer.name][name]
        return found

    state = network.initial_state(np.float64)
    outputs = []
    for row in rows:
        y, state = network.step(NUMPY, product, used, row, state)
        outputs.append(y)
    return np.stack(outputs)


def _rounded(v: Float64) -> Float64:
    """The kernel's rounding of an int8 layer's input: 127 for the largest value of each step."""
    largest = np.abs(v).max()
    return np.rint(v * (127 / largest)) * (largest / 127) if largest > 1e-30 else np.zeros_like(v)
