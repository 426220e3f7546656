"""A layer's cell on symbols: its computations become operators of a graph.

Everything is in four dimensions, (1, channels, 1, 1), and products are 1x1 convolutions, because
the RKNN converter keeps such operators on the NPU. In two dimensions it puts some on the CPU and
logs errors.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .builder import Graph

Float32 = NDArray[np.float32]


class Value:
    """A cell's value, with the arithmetic that becomes operators of the graph."""

    __array_ufunc__ = None  # so that NumPy leaves `array * value` to the value

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def _with(self, operator: str, other: Any) -> Symbol:
        return self.tape.node(operator, self.tape.symbol(self), self.tape.symbol(other))

    def __add__(self, other: Any) -> Value:
        return self._with("Add", other)

    def __radd__(self, other: Any) -> Value:
        return self.__add__(other)

    def __mul__(self, other: Any) -> Symbol:
        return self._with("Mul", other)

    def __sub__(self, other: Any) -> Symbol:
        return self._with("Sub", other)

    def __rsub__(self, other: Any) -> Symbol:
        return self.tape.symbol(other) - self

    __rmul__ = __mul__


class Symbol(Value):
    """A tensor of a graph."""

    def __init__(self, tape: Tape, name: str) -> None:
        super().__init__(tape)
        self._name = name

    @property
    def name(self) -> str:
        return self.tape.renamed.get(self._name, self._name)


@dataclasses.dataclass(frozen=True)
class Block:
    """Columns of sums. terms: for each vector that is multiplied, its weights (in, columns). bias:
    (columns,)."""

    terms: Mapping[str, tuple[Symbol, Float32]]
    bias: Float32

    def columns(self, start: int, stop: int) -> Block:
        terms = {n: (symbol, W[:, start:stop]) for n, (symbol, W) in self.terms.items()}
        return Block(terms, self.bias[start:stop])

    def added(self, other: Block) -> Block:
        terms = dict(self.terms)
        for name, (symbol, W) in other.terms.items():
            both = terms[name][1] + W if name in terms else W
            terms[name] = (symbol, both)
        return Block(terms, self.bias + other.bias)

    @property
    def size(self) -> int:
        return len(self.bias)


class Linear(Value):
    """Sums of products that are not in the graph yet. So a split of them takes no operator."""

    def __init__(self, tape: Tape, blocks: list[Block]) -> None:
        super().__init__(tape)
        self.blocks = blocks

    @property
    def size(self) -> int:
        return sum(block.size for block in self.blocks)

    def parts(self, count: int) -> list[Linear]:
        if len(self.blocks) == count:
            return [Linear(self.tape, [block]) for block in self.blocks]
        (block,) = self.blocks
        size = block.size // count
        cut = [block.columns(k * size, (k + 1) * size) for k in range(count)]
        return [Linear(self.tape, [part]) for part in cut]

    def __add__(self, other: Any) -> Value:
        if isinstance(other, Linear):
            pairs = zip(self.blocks, other.blocks, strict=True)
            return Linear(self.tape, [a.added(b) for a, b in pairs])
        if isinstance(other, np.ndarray) and other.shape == (self.size,):
            biases = np.split(other, np.cumsum([block.size for block in self.blocks])[:-1])
            pairs_ = zip(self.blocks, biases, strict=True)
            return Linear(self.tape, [Block(block.terms, block.bias + b) for block, b in pairs_])
        return super().__add__(other)


class Joined(Value):
    """Tensors side by side. They become one only if something reads them so."""

    def __init__(self, tape: Tape, parts: list[Symbol]) -> None:
        super().__init__(tape)
        self.parts = parts

    @functools.cached_property
    def symbol(self) -> Symbol:
        names = [part.name for part in self.parts]
        tape = self.tape
        return Symbol(
            tape, tape.graph.add("Concat", names, tape.new_name("joined"), axis=tape.axis)
        )


class Tape:
    """The operations of a cell, `layers.ops.Ops`. They write operators of one layer into a graph.

    kept: the cell's name of a tensor -> the graph's name of it.
    """

    axis = 1  # of the channels
    behind: tuple[int, ...] = (1, 1)  # the axes behind it

    def __init__(self, graph: Graph, prefix: str) -> None:
        self.graph = graph
        self.prefix = prefix
        self.kept: dict[str, str] = {}
        self.renamed: dict[str, str] = {}
        self._count = 0
        self._joined: dict[tuple[str, ...], str] = {}

    def new_name(self, stem: str) -> str:
        self._count += 1
        return f"{self.prefix}_{stem}{self._count}"

    def node(self, operator: str, *operands: Symbol) -> Symbol:
        name = self.new_name(operator.lower())
        self.graph.add(operator, [operand.name for operand in operands], name)
        return Symbol(self, name)

    def product(self, v: Any, W: Float32) -> Linear:
        symbol = self.symbol(v)
        return Linear(self, [Block({symbol.name: (symbol, W)}, np.zeros(W.shape[1], np.float32))])

    def symbol(self, value: Any) -> Symbol:
        """A tensor for the value. Sums become a convolution, numbers and arrays (n,) a constant."""
        if isinstance(value, Symbol):
            return value
        if isinstance(value, Joined):
            return value.symbol
        if not isinstance(value, Linear):
            array = np.asarray(value, np.float32).reshape(-1, *self.behind)
            return Symbol(self, self.graph.constant(self.new_name("constant"), array))
        if len(value.blocks) > 1:
            return Joined(self, [self.symbol(Linear(self, [b])) for b in value.blocks]).symbol
        (block,) = value.blocks
        names = tuple(symbol.name for symbol, _ in block.terms.values())
        if len(names) > 1 and names not in self._joined:
            self._joined[names] = self.graph.add(
                "Concat", names, self.new_name("joined"), axis=self.axis
            )
        source = self._joined[names] if len(names) > 1 else names[0]
        W = np.concatenate([W for _, W in block.terms.values()])
        name = self.new_name("linear")
        self.linear(source, W, block.bias, name)
        return Symbol(self, name)

    def linear(self, source: str, W: Float32, b: Float32, name: str) -> None:
        self.graph.convolution(source, W, b, name)

    def split(self, sums: Any, parts: int) -> tuple[Any, ...]:
        if isinstance(sums, Linear):
            return tuple(sums.parts(parts))
        if isinstance(sums, Joined) and len(sums.parts) == parts:
            return tuple(sums.parts)
        names = [self.new_name("part") for _ in range(parts)]
        self.graph.add("Split", [self.symbol(sums).name], names, axis=self.axis, num_outputs=parts)
        return tuple(Symbol(self, name) for name in names)

    def join(self, parts: list[Any]) -> Any:
        if len(parts) == 1:
            return parts[0]
        if all(isinstance(part, Linear) for part in parts):
            return Linear(self, [block for part in parts for block in part.blocks])
        return Joined(self, [self.symbol(part) for part in parts])

    def activation(self, operator: str, a: Any) -> Symbol:
        return self.node(operator, self.symbol(a))

    def sigmoid(self, a: Any) -> Any:
        return self.activation("Sigmoid", a)

    def tanh(self, a: Any) -> Any:
        return self.activation("Tanh", a)

    def relu(self, a: Any) -> Any:
        return self.activation("Relu", a)

    def normalize(self, a: Any, scale: Any, shift: Any, epsilon: float) -> Any:
        arrays = [
            self.graph.constant(self.new_name(stem), np.reshape(array, (-1, *self.behind)))
            for stem, array in (("scale", scale), ("shift", shift))
        ]
        name = self.new_name("normalized")
        operands = [self.symbol(a).name, *arrays]
        return Symbol(
            self,
            self.graph.add("LayerNormalization", operands, name, axis=self.axis, epsilon=epsilon),
        )

    def softmax(self, a: Any) -> Any:
        name = self.new_name("shares")
        return Symbol(self, self.graph.add("Softmax", [self.symbol(a).name], name, axis=self.axis))

    def one_hot(self, a: Any, count: int) -> Any:
        distance = self.node("Abs", self.symbol(a) - np.arange(count, dtype=np.float32))
        return self.relu(1.0 - distance)

    def sums(self, value: Any) -> Any:
        return value

    def keep(self, name: str, value: Any) -> Any:
        symbol = self.symbol(value)
        self.kept[name] = self.rename(symbol, f"{self.prefix}_{name}")
        return symbol

    def rename(self, symbol: Symbol, new: str) -> str:
        """Give a tensor another name. An input and an output of the graph is copied instead."""
        if not self.graph.made(symbol.name) or symbol.name in self.graph.outputs:
            return self.graph.add("Identity", [symbol.name], new)
        old = symbol.name
        self.graph.rename(old, new)
        self.renamed |= {k: new for k, v in self.renamed.items() if v == old} | {old: new}
        self.kept = {k: new if v == old else v for k, v in self.kept.items()}
        return new


class RowTape(Tape):
    """As `Tape` for tensors (steps, 1, channels). Products are MatMul."""

    axis = 2
    behind = ()

    def linear(self, source: str, W: Float32, b: Float32, name: str) -> None:
        g = self.graph
        product = g.add("MatMul", [source, g.constant(f"{name}_W", W)], f"{name}_product")
        g.add("Add", [product, g.constant(f"{name}_b", b)], name)
