"""A cell's values on integers: the cell runs once on floats for the ranges, then on quantized ones.

`Watch` and `Grids` are the two kinds of `Ops` that a cell gets. Both give every value the same
name. `Watch` keeps the range of each. `Grids` puts a quantize and a dequantize operator behind each
operator, so that the exported graph is one of integers.

Products stay symbols (`Sums`) until something reads them. So a bias costs no operator, a split of
sums is a split of weights, and each gate has sums of its own scale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

LIMITS = {8: (-128, 127), 16: (-32768, 32767)}
TYPES = {8: torch.int8, 16: torch.int16}
# Beyond these sums the functions are flat to 5e-5. A table of an int16 has 512 pieces, so a wider
# range would make the pieces longer.
FLAT = {"sigmoid": 10.0, "tanh": 5.5}


@dataclasses.dataclass(frozen=True)
class Grid:
    """value = scale (integer - zero_point)."""

    scale: float
    zero_point: int
    bits: int

    @property
    def arguments(self) -> tuple[Any, ...]:
        return (self.scale, self.zero_point, *LIMITS[self.bits], TYPES[self.bits])

    def quantize(self, value: torch.Tensor) -> torch.Tensor:
        return torch.ops.quantized_decomposed.quantize_per_tensor.default(value, *self.arguments)

    def dequantize(self, value: torch.Tensor) -> torch.Tensor:
        return torch.ops.quantized_decomposed.dequantize_per_tensor.default(value, *self.arguments)


def symmetric(extreme: float, bits: int) -> Grid:
    return Grid(max(extreme, 1e-6) / LIMITS[bits][1], 0, bits)


def between(low: float, high: float, bits: int) -> Grid:
    """A grid of 8 bits has a zero point. TOSA has none for 16."""
    if bits == 16:
        return symmetric(max(-low, high), bits)
    low = min(low, 0.0)
    high = max(high, 0.0, low + 1e-6)
    scale = (high - low) / 255
    return Grid(scale, int(min(127, max(-128, round(-128 - low / scale)))), bits)


class Value:
    """A tensor of the cell. data: floats for `Watch`, integers on `grid` for `Grids`."""

    def __init__(self, tape: Any, data: torch.Tensor, grid: Grid | None = None) -> None:
        self.tape = tape
        self.data = data
        self.grid = grid

    @property
    def float(self) -> torch.Tensor:
        return self.data if self.grid is None else self.grid.dequantize(self.data)

    def __add__(self, other: Any) -> Value:
        return self.tape.apply("add", torch.add, self, other)

    def __mul__(self, other: Any) -> Value:
        return self.tape.apply("mul", torch.mul, self, other)

    def __sub__(self, other: Any) -> Value:
        return self.tape.apply("sub", torch.sub, self, other)

    __radd__ = __add__
    __rmul__ = __mul__


@dataclasses.dataclass(frozen=True)
class Sums:
    """x W + ... + b, not computed yet. terms: (x, W (in, columns)) each. bias: (columns,)."""

    tape: Any
    terms: tuple[tuple[Value, torch.Tensor], ...]
    bias: torch.Tensor

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Value):
            return self.value() + other
        if not isinstance(other, Sums):
            return Sums(self.tape, self.terms, self.bias + other)
        terms = list(self.terms)
        for x, W in other.terms:
            same = next((n for n, (known, _) in enumerate(terms) if known is x), None)
            if same is None:
                terms.append((x, W))
            else:
                terms[same] = (x, terms[same][1] + W)
        return Sums(self.tape, tuple(terms), self.bias + other.bias)

    def columns(self, start: int, stop: int) -> Sums:
        terms = tuple((x, W[:, start:stop]) for x, W in self.terms)
        return Sums(self.tape, terms, self.bias[start:stop])

    def value(self, function: str = "") -> Value:
        return self.tape.product(self, function)

    def __mul__(self, other: Any) -> Value:
        return self.value() * other

    def __sub__(self, other: Any) -> Value:
        return self.value() - other


@dataclasses.dataclass(frozen=True)
class Joined:
    """Sums side by side."""

    parts: tuple[Any, ...]

    def __add__(self, other: torch.Tensor) -> Joined:
        sizes = [len(part.bias) for part in self.parts]
        pairs = zip(self.parts, torch.split(other, sizes), strict=True)
        return Joined(tuple(part + bias for part, bias in pairs))


class Tape:
    """ranges: name of a value -> (low, high)."""

    def __init__(self, bits, ranges=None, separate=True, product_bits=None) -> None:
        self.bits = bits
        self.product_bits = product_bits or bits
        self.ranges: dict[str, tuple[float, float]] = {} if ranges is None else ranges
        self.watching = ranges is None
        self.prefix = ""
        self.separate = separate
        self._count = 0

    def name(self, kind: str) -> str:
        self._count += 1
        return f"{self.prefix}.{kind}{self._count}"

    def result(self, name: str, data: torch.Tensor, grid: Callable[[], Grid]|None = None) -> Value:
        if self.watching:
            low = data.min().item()
            high = data.max().item()
            self.ranges[name] = (low, high)
            return Value(self, data)
        g = grid() if grid else self.grid(name)
        return Value(self, g.quantize(data), g)

    def grid(self, name, extreme=None, bits=None):
        low, high = self.ranges[name]
        if extreme is not None:
            low = max(low, -extreme)
            high = min(high, extreme)
        return between(low*1.02, high*1.02, bits or self.bits)

    def apply(self, kind, function, a, b):
        name = self.name(kind)
        a = a.value() if isinstance(a, Sums) else a
        if isinstance(b, Sums):
            b = b.value()
        if not isinstance(b, Value):
            b = self.constant(b)
        return self.result(name, function(a.float, b.float))

    def constant(self, value):
        value = torch.as_tensor(value, dtype=torch.float32)
        value = value.reshape(1, -1)
        if self.watching:
            return Value(self, value)
        g = between(float(value.min()), float(value.max()), self.bits)
        return Value(self, g.quantize(value), g)

    def narrow(self, x: Value) -> Value:
        if self.watching or x.grid.bits == self.product_bits:
            return x
        if not hasattr(x, "narrowed"):
            big = x.grid.scale * 32767
            g = symmetric(big, 8)
            x.narrowed = Value(self, g.quantize(x.float), g)
        return x.narrowed

    def product(self, sums: Sums, function: str) -> Value:
        name = self.name("sum")
        extreme = FLAT.get(function)
        if self.watching:
            total = sums.bias
            for x, W in sums.terms:
                total = total + x.float @ W
            return self.result(name, total)
        terms = [(self.narrow(x), W) for x, W in sums.terms]
        grid = lambda: self.grid(name, extreme)
        if len(terms) > 1:
            assert not self.separate
            (first, _), *_ = terms
            top = max((x.grid for x, _ in terms), key=lambda g: g.scale)
            # numbers are joined as they are; W takes the ratio of scales
            one = Grid(terms[-1][0].grid.scale, 0, self.product_bits)
            assert all(x.grid.zero_point == 0 for x, _ in terms)
            joined = torch.cat([one.dequantize(x.data) for x, _ in terms], -1)
            W = torch.cat([W * (x.grid.scale / one.scale) for x, W in terms])
            x = Value(self, one.quantize(joined), one)
        else:
            ((x, W),) = terms
        return self.result(name, self.linear(x, W, sums.bias), grid)

    def linear(self, x, W, bias):
        Wt = W.T.contiguous()
        scales = Wt.abs().amax(1).clamp_min(1e-9) / 127
        q = torch.clamp(torch.round(Wt / scales[:, None]), -127, 127).to(torch.int8)
        ops = torch.ops.quantized_decomposed
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        w = ops.dequantize_per_channel.default(self.keepbuf(q), self.keepbuf(scales), self.keepbuf(zeros), 0, -127, 127, torch.int8)
        bs = scales * x.grid.scale
        qb = torch.round(bias.double() / bs.double()).clamp(-2**31, 2**31-1).to(torch.int32)
        b = ops.dequantize_per_channel.default(self.keepbuf(qb), self.keepbuf(bs), self.keepbuf(zeros), 0, -2**31, 2**31-1, torch.int32)
        return torch.nn.functional.linear(x.float, w, b)

    def keepbuf(self, t):
        return self.module.constant_buffer(t)

    def function(self, kind, a):
        if isinstance(a, Sums):
            if self.separate and len(a.terms) > 1:
                parts = [Sums(self, (t,), a.bias if n == 0 else 0*a.bias) for n, t in enumerate(a.terms)]
                vs = [p.value() for p in parts]
                name = self.name("add")
                a = self.result(name, vs[0].float + vs[1].float, lambda: self.grid(name, FLAT[kind]))
            else:
                a = a.value(kind)
        name = self.name(kind)
        fixed = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}.get(kind)
        return self.result(name, getattr(torch, kind)(a.float),
            (lambda: Grid(1/256, -128, 8) if self.bits == 8 else Grid(1/32768, 0, 16)) if kind == "sigmoid" else (lambda: Grid(1/128,0,8) if self.bits==8 else Grid(1/32768,0,16)) if kind == "tanh" else None)

    def sigmoid(self, a): return self.function("sigmoid", a)
    def tanh(self, a): return self.function("tanh", a)
    def relu(self, a): return self.function("relu", a)
    def sums(self, v): return v
    def keep(self, name, v): return v
    def split(self, v, parts):
        if isinstance(v, Joined): return v.parts
        if isinstance(v, Sums):
            n = len(v.bias) // parts
            return tuple(v.columns(k*n, (k+1)*n) for k in range(parts))
        raise NotImplementedError
    def join(self, parts):
        return parts[0] if len(parts) == 1 else Joined(tuple(parts))
