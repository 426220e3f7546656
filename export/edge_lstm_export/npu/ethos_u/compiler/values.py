"""What a cell computes with: tensors, and sums of products that are not computed yet."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import torch

from .grids import Grid


class Maker(Protocol):
    """The tape (`tape.Tape`), as its values see it."""

    flat: dict[str, tuple[float, float]]

    def apply(self, kind: str, a: Any, b: Any) -> Value: ...

    def product(self, sums: Sums, function: str) -> Value: ...

    def moved(self, value: Value, grid: Grid) -> Value: ...

    def scaled(self, value: Value, columns: tuple[float, ...]) -> Value: ...


class Value:
    """A tensor, (N, size). data: floats, or integers if there is a grid."""

    def __init__(
        self,
        tape: Maker,
        data: torch.Tensor,
        grid: Grid | None = None,
        site: str = "",
        columns: tuple[float, ...] = (),
    ):
        """site: the name of the place that made it. columns: powers of 2 that the numbers are
        multiplied by, each for its column. () for 1."""
        self.tape = tape
        self.data = data
        self.grid = grid
        self.site = site
        self.columns = columns

    @property
    def on(self) -> Grid:
        assert self.grid is not None
        return self.grid

    @property
    def size(self) -> int:
        return int(self.data.shape[-1])

    @property
    def float(self) -> torch.Tensor:
        """Without `columns`."""
        return self.data if self.grid is None else self.grid.dequantize(self.data)

    def __add__(self, other: Any) -> Value:
        return self.tape.apply("add", self, other)

    def __mul__(self, other: Any) -> Value:
        return self.tape.apply("mul", self, other)

    def __sub__(self, other: Any) -> Value:
        return self.tape.apply("sub", self, other)

    __radd__ = __add__
    __rmul__ = __mul__


@dataclasses.dataclass(frozen=True)
class Sums:
    """x W + ... + bias, not computed until something reads it. So a bias costs no operator, and a
    split is one of the weights: each gate has sums of its own scale.

    terms: (x, W (in, columns)) each. bias: (columns,).
    """

    tape: Maker
    terms: tuple[tuple[Value, torch.Tensor], ...]
    bias: torch.Tensor

    @property
    def size(self) -> int:
        return len(self.bias)

    def value(self, function: str = "") -> Value:
        """function: the one that reads it."""
        return self.tape.product(self, function)

    def columns(self, start: int, stop: int) -> Sums:
        terms = tuple((x, W[:, start:stop]) for x, W in self.terms)
        return Sums(self.tape, terms, self.bias[start:stop])

    def __add__(self, other: Any) -> Any:
        if isinstance(other, Value):
            return self.value() + other
        if not isinstance(other, Sums):
            return Sums(self.tape, self.terms, self.bias + other)
        terms = list(self.terms)
        for x, W in other.terms:
            same = [n for n, (known, _) in enumerate(terms) if known is x]
            if same:
                terms[same[0]] = (x, terms[same[0]][1] + W)
            else:
                terms.append((x, W))
        return Sums(self.tape, tuple(terms), self.bias + other.bias)

    def __mul__(self, other: Any) -> Value:
        return self.tape.apply("mul", self.value(), other)

    def __sub__(self, other: Any) -> Value:
        return self.tape.apply("sub", self.value(), other)

    __radd__ = __add__
    __rmul__ = __mul__


@dataclasses.dataclass(frozen=True)
class Joined:
    """Sums side by side."""

    parts: tuple[Sums, ...]

    def __add__(self, other: torch.Tensor) -> Joined:
        biases = torch.split(other, [part.size for part in self.parts])
        return Joined(tuple(p + bias for p, bias in zip(self.parts, biases, strict=True)))


def valued(a: Any) -> Any:
    return a.value() if isinstance(a, Sums) else a
