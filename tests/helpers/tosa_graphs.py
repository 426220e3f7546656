"""Random programs of integer operators, with inputs at the edges of their types.

A case is JSON: {"program", "constants", "inputs"}: arrays are nested lists, and "inputs" has one
list of arrays for each stream. `tosa_reference.py` adds the answers of TOSA's reference model.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BITS = {"bool": 1, "int8": 8, "int16": 16, "int32": 32, "int48": 48}
STREAMS = 2
Case = dict[str, Any]
Rng = np.random.Generator


def values(rng: Rng, dtype: str, shape: Sequence[int]) -> NDArray[np.int64]:
    """Numbers of a type: uniform, of any magnitude, or at its ends."""
    if dtype == "bool":
        return rng.integers(0, 2, shape)
    top = 2 ** (BITS[dtype] - 1)
    uniform = rng.integers(-top, top, shape)
    smaller = uniform >> rng.integers(0, BITS[dtype], shape)
    edges = rng.choice([-top, -top + 1, -1, 0, 1, top - 2, top - 1], shape)
    kind = rng.choice(3, shape, p=rng.dirichlet([1, 1, 1]))
    return np.choose(kind, [uniform, smaller, edges])


class Graph:
    def __init__(self, rng: Rng):
        self.rng = rng
        self.program: dict[str, Any] = {
            "inputs": [], "outputs": [], "tensors": {}, "operators": []
        }  # fmt: skip
        self.constants: dict[str, Any] = {}
        self.inputs: list[list[Any]] = [[] for _ in range(STREAMS)]

    def declare(self, dtype: str, shape: Sequence[int]) -> str:
        name = f"t{len(self.program['tensors'])}"
        self.program["tensors"][name] = {"shape": [int(n) for n in shape], "dtype": dtype}
        return name

    def input(self, dtype: str, shape: Sequence[int]) -> str:
        name = self.declare(dtype, shape)
        self.program["inputs"].append(name)
        for stream in self.inputs:
            stream.append(values(self.rng, dtype, shape).tolist())
        return name

    def constant(self, dtype: str, array: Any) -> str:
        array = np.asarray(array)
        plain = dtype != "shape"
        name = self.declare(dtype, array.shape) if plain else f"s{len(self.constants)}"
        self.constants[name] = array.tolist()
        return name

    def operator(
        self, op: str, inputs: Sequence[str], dtype: str, shape: Sequence[int], **attributes: Any
    ) -> str:
        name = self.declare(dtype, shape)
        self.program["operators"].append(
            {"op": op, "inputs": list(inputs), "outputs": [name], "attributes": attributes}
        )
        return name

    def case(self, *outputs: str) -> Case:
        self.program["outputs"] = list(outputs)
        return {"program": self.program, "constants": self.constants, "inputs": self.inputs}


def shape_of(rng: Rng, least: int = 1) -> list[int]:
    return [int(n) for n in rng.integers(1, 5, rng.integers(least, 5))]


def _kind(rng: Rng, *of: str) -> str:
    return str(rng.choice(of or ("int8", "int16", "int32")))


def rescale(g: Graph, x: str, dtype: str | None = None, *, signed: bool = True) -> str:
    rng, before = g.rng, g.program["tensors"][x]
    kind, shape = before["dtype"], before["shape"]
    dtype = dtype or _kind(rng)
    wide = bool(kind != "int48" and rng.random() < 0.7)
    channels = bool(rng.random() < 0.5)
    count = shape[-1] if channels else 1
    bits = BITS[kind]
    shift = rng.integers(max(2, min(bits, 24)), 63 if wide else 48, count)
    multiplier = rng.integers(0, 2**31 if wide else 2**15, count)
    if rng.random() < 0.3:
        multiplier[:] = 1 << (30 if wide else 14)
    if not signed and rng.random() < 0.1:
        shift[:] = rng.choice([2, 30, 31, 32, 62])
    unsigned = [bool(k in ("int8", "int16") and rng.random() < 0.25) for k in (kind, dtype)]
    if (
        signed
        or all(unsigned)
        or (unsigned[0] and dtype == "int32")
        or (unsigned[1] and kind != "int8")
    ):
        unsigned = [False, False]
    zero = [0, 0]
    for n, k in enumerate((kind, dtype)):
        if k == "int8":
            zero[n] = int(rng.integers(-128, 128))
        elif k == "int16" and unsigned[n]:
            zero[n] = int(rng.choice([0, -32768]))
    rounding = _kind(rng, "SINGLE_ROUND", *(["DOUBLE_ROUND"] if wide else []))
    names = [
        x,
        g.constant("int32" if wide else "int16", multiplier),
        g.constant("int8", shift),
        g.constant(kind, [zero[0]]),
        g.constant(dtype, [zero[1]]),
    ]
    return g.operator(
        "RESCALE", names, dtype, shape, scale32=wide, rounding_mode=rounding, per_channel=channels,
        input_unsigned=unsigned[0], output_unsigned=unsigned[1],
    )  # fmt: skip


def _rescale(g: Graph) -> str:
    if g.rng.random() < 0.25:
        return _matmul(g)  # no input is int48
    return rescale(g, g.input(_kind(g.rng), shape_of(g.rng)), signed=False)


def _narrowed(g: Graph, x: str) -> str:
    """No output is int48."""
    return rescale(g, x, _kind(g.rng)) if g.program["tensors"][x]["dtype"] == "int48" else x


def table(g: Graph, x: str) -> str:
    tensor = g.program["tensors"][x]
    wide = tensor["dtype"] == "int16"
    entries = values(g.rng, tensor["dtype"], (513 if wide else 256,))
    if wide:
        entries >>= 1  # no slope beyond int16
    names = [x, g.constant(tensor["dtype"], entries)]
    return g.operator("TABLE", names, "int32" if wide else "int8", tensor["shape"])


def _table(g: Graph) -> str:
    return table(g, g.input(_kind(g.rng, "int8", "int16"), shape_of(g.rng)))


def _two(op: str, *kinds: str, out: str = "") -> Callable[[Graph], str]:
    """An operator on two tensors, one of which may be constant or have lengths of 1."""

    def make(g: Graph) -> str:
        rng, kind = g.rng, _kind(g.rng, *kinds)
        shape = shape_of(rng)
        other = [n if rng.random() < 0.7 else 1 for n in shape]
        second = (
            g.constant(kind, values(rng, kind, other))
            if rng.random() < 0.3
            else g.input(kind, other)
        )
        names = [g.input(kind, shape), second]
        if op == "INTDIV":  # 0, and -1 of the least, end the reference model's process
            divisor = values(rng, kind, other)
            names[1] = g.constant(kind, np.where((divisor == 0) | (divisor == -1), 3, divisor))
            names[0] = g.program["inputs"][-1]
        elif rng.random() < 0.5:
            names.reverse()
        extra: dict[str, Any] = {}
        if "SHIFT" in op:
            least = rng.integers(0, BITS[kind] + (rng.random() < 0.1), other)
            names = [names[0], g.constant(kind, least)]
            names[0] = g.program["inputs"][-1]
        if op == "ARITHMETIC_RIGHT_SHIFT":
            extra = {"round": bool(rng.random() < 0.5)}
        if op == "MUL":
            shift = int(rng.integers(0, 64)) if kind == "int32" and rng.random() < 0.7 else 0
            names.append(g.constant("int8", [shift]))
        return g.operator(op, names, out or kind, shape, **extra)

    return make


def _one(op: str, *kinds: str) -> Callable[[Graph], str]:
    def make(g: Graph) -> str:
        kind, shape = _kind(g.rng, *kinds), shape_of(g.rng)
        names = [g.input(kind, shape)]
        extra: dict[str, Any] = {}
        if op == "NEGATE":
            for _ in range(2):
                zero = int(g.rng.integers(-128, 128)) if kind == "int8" else 0
                names.append(g.constant(kind, [zero]))
        if op == "CLAMP":
            ends = sorted(int(v) for v in values(g.rng, kind, (2,)))
            extra = {"min_val": ends[0], "max_val": ends[1]}
        return g.operator(op, names, kind, shape, **extra)

    return make


def _cast(g: Graph) -> str:
    pairs = list(itertools.permutations(("bool", "int8", "int16", "int32"), 2))
    before, after = pairs[int(g.rng.integers(len(pairs)))]
    shape = shape_of(g.rng)
    return g.operator("CAST", [g.input(before, shape)], after, shape)


def _select(g: Graph) -> str:
    kind, shape = _kind(g.rng), shape_of(g.rng)
    names = [g.input("bool", shape), g.input(kind, shape), g.input(kind, shape)]
    return g.operator("SELECT", names, kind, shape)


def _zeros(g: Graph, kind: str) -> list[str]:
    """Two zero points: any for int8, else 0."""
    ends = (-128, 128) if kind == "int8" else (0, 1)
    return [g.constant("int8" if n else kind, [int(g.rng.integers(*ends))]) for n in range(2)]


def _matmul(g: Graph) -> str:
    kind = _kind(g.rng, "int8", "int16")
    batch, rows, inner, columns = g.rng.integers(1, 6, 4).tolist()
    zeros = [
        g.constant(kind, [int(g.rng.integers(-128, 128)) if kind == "int8" else 0]) for _ in "ab"
    ]
    names = [g.input(kind, [batch, rows, inner]), g.input(kind, [batch, inner, columns]), *zeros]
    out = "int32" if kind == "int8" else "int48"
    return _narrowed(g, g.operator("MATMUL", names, out, [batch, rows, columns]))


def _convolution(op: str) -> Callable[[Graph], str]:
    def make(g: Graph) -> str:
        rng, kind = g.rng, _kind(g.rng, "int8", "int16")
        batch, inner, outer = rng.integers(1, 4, 3).tolist()
        kernel, stride, dilation = (rng.integers(1, 4, 2).tolist() for _ in range(3))
        pad = rng.integers(0, 3, 4).tolist() if rng.random() < 0.5 else [0] * 4
        size = rng.integers(1, 4, 2).tolist()
        lengths = [
            (n - 1) * s + 1 + (k - 1) * d - pad[2 * at] - pad[2 * at + 1]
            for at, (n, s, k, d) in enumerate(zip(size, stride, kernel, dilation, strict=True))
        ]
        if min(lengths) < 1:
            return make(g)
        deep = op == "DEPTHWISE_CONV2D"
        shape = [*kernel, inner, outer] if deep else [outer, *kernel, inner]
        outputs = inner * outer if deep else outer
        acc = "int32" if kind == "int8" else "int48"
        names = [
            g.input(kind, [batch, *lengths, inner]),
            g.constant("int8", np.maximum(values(rng, "int8", shape), -127)),
            g.constant(acc, values(rng, "int16", (outputs if rng.random() < 0.8 else 1,))),
            *_zeros(g, kind),
        ]
        sums = g.operator(
            op, names, acc, [batch, *size, outputs], pad=pad, stride=stride, dilation=dilation,
            local_bound=False, acc_type=acc,
        )  # fmt: skip
        return _narrowed(g, sums)

    return make


def _reduce(op: str, *kinds: str) -> Callable[[Graph], str]:
    def make(g: Graph) -> str:
        kind, shape = _kind(g.rng, *kinds), shape_of(g.rng)
        axis = int(g.rng.integers(len(shape)))
        after = [1 if n == axis else length for n, length in enumerate(shape)]
        return g.operator(op, [g.input(kind, shape)], kind, after, axis=axis)

    return make


def _moved(op: str) -> Callable[[Graph], str]:
    def make(g: Graph) -> str:
        rng, kind, shape = g.rng, _kind(g.rng, "int8", "int16", "int32", "bool"), shape_of(g.rng)
        x, rank, extra = g.input(kind, shape), len(shape), {}
        names, after = [x], list(shape)
        axis = int(rng.integers(rank))
        if op == "RESHAPE":
            after = [1, *shape[::-1]] if rng.random() < 0.5 else [int(np.prod(shape))]
            names.append(g.constant("shape", after))
        elif op == "SLICE":
            start = [int(rng.integers(n)) for n in shape]
            after = [int(rng.integers(1, n - s + 1)) for n, s in zip(shape, start, strict=True)]
            names += [g.constant("shape", start), g.constant("shape", after)]
        elif op == "CONCAT":
            more = int(rng.integers(1, 4))
            other = [more if n == axis else length for n, length in enumerate(shape)]
            second = g.constant(kind, values(rng, kind, other)) if rng.random() < 0.5 else x
            after[axis] += more if second != x else after[axis]
            names.append(second)
            extra = {"axis": axis}
        elif op == "TRANSPOSE":
            perms = rng.permutation(rank).tolist()
            after, extra = [shape[n] for n in perms], {"perms": perms}
        elif op == "PAD":
            amounts = rng.integers(0, 3, 2 * rank).tolist()
            sums = zip(shape, amounts[::2], amounts[1::2], strict=True)
            after = [sum(three) for three in sums]
            fill = values(rng, kind, (1,))
            if kind == "bool":
                fill = fill.astype(bool)
            names += [g.constant("shape", amounts), g.constant(kind, fill)]
        elif op == "TILE":
            times = rng.integers(1, 4, rank).tolist()
            after = [n * k for n, k in zip(shape, times, strict=True)]
            names.append(g.constant("shape", times))
        elif op == "REVERSE":
            extra = {"axis": axis}
        return g.operator(op, names, kind, after, **extra)

    return make


_BITS_OF = ("int8", "int16", "int32")
MAKERS: dict[str, Callable[[Graph], str]] = {
    "ABS": _one("ABS", "int32"),
    "BITWISE_NOT": _one("BITWISE_NOT"),
    "CAST": _cast,
    "CLAMP": _one("CLAMP", "int8", "int16"),
    "CONV2D": _convolution("CONV2D"),
    "DEPTHWISE_CONV2D": _convolution("DEPTHWISE_CONV2D"),
    "LOGICAL_NOT": _one("LOGICAL_NOT", "bool"),
    "MATMUL": _matmul,
    "MUL": _two("MUL", *_BITS_OF, out="int32"),
    "NEGATE": _one("NEGATE"),
    "RESCALE": _rescale,
    "SELECT": _select,
    "TABLE": _table,
    "REDUCE_SUM": _reduce("REDUCE_SUM", "int32"),
    **{op: _reduce(op) for op in ("REDUCE_MAX", "REDUCE_MIN")},
    **{op: _two(op, "int32") for op in ("ADD", "SUB", "INTDIV", "MAXIMUM", "MINIMUM")},
    **{
        op: _two(op)
        for op in (
            "ARITHMETIC_RIGHT_SHIFT", "LOGICAL_LEFT_SHIFT", "LOGICAL_RIGHT_SHIFT",
            "BITWISE_AND", "BITWISE_OR", "BITWISE_XOR",
        )
    },
    **{op: _two(op, "bool") for op in ("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_XOR")},
    **{op: _two(op, "int32", out="bool") for op in ("EQUAL", "GREATER", "GREATER_EQUAL")},
    **{
        op: _moved(op)
        for op in ("CONCAT", "IDENTITY", "PAD", "RESHAPE", "REVERSE", "SLICE", "TILE", "TRANSPOSE")
    },
}  # fmt: skip


def single(op: str, seed: int) -> Case:
    """A program of one operator."""
    g = Graph(np.random.default_rng([seed, *op.encode()]))
    return g.case(MAKERS[op](g))


def chain(seed: int) -> Case:
    """A program such as a cell's: tables and scales, two products that share an input."""
    rng = np.random.default_rng(seed)
    g = Graph(rng)
    kind, shape = _kind(rng, "int8", "int16"), [1, int(rng.integers(1, 9))]
    x = g.input(kind, shape)
    ends = []
    for _ in range(int(rng.integers(2, 4))):
        name = x
        for _ in range(int(rng.integers(1, 3))):
            name = rescale(g, table(g, name), kind)
        ends.append(name)
    zero = g.constant("int8", [0])
    ones = [rescale(g, name, "int16") for name in ends[:2]]
    product = g.operator("MUL", [*ones, zero], "int32", shape)
    y = rescale(g, product, kind)
    return g.case(y, ends[-1])
