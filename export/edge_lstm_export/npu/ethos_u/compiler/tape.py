"""The operations of a cell (`layers.ops.Ops`) on integers.

A cell runs twice on a tape. The first run is on floats over the calibration set, and keeps the
range of each value by its site, a name that both runs give alike. The second run puts a quantize
operator behind each operator, and a dequantize operator before. ExecuTorch turns such a graph into
one of integers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from .grids import SIGMOID, TANH, Grid, between, symmetric
from .norm import normalized
from .values import Joined, Sums, Value, valued

# Beyond these sums the functions are flat within 5e-5. A table of an int16 has 512 pieces, and a
# wider range would make each of them longer.
FLAT = {"sigmoid": (-10.0, 10.0), "tanh": (-5.5, 5.5), "relu": (0.0, math.inf)}
NOWHERE = (-math.inf, math.inf)
WIDE = 1.5  # times that range, before a change of the grid pays
FIXED = {"sigmoid": SIGMOID, "tanh": TANH}
MARGIN = {8: 1.02, 16: 1.25}  # of a range beyond the calibration set's: 16 bits have room
FINE = 256  # the lower part of a weight counts in steps of 1 / FINE
_BINARY: Mapping[str, Callable[..., torch.Tensor]] = {
    "add": torch.add,
    "mul": torch.mul,
    "sub": torch.sub,
}


@dataclasses.dataclass(frozen=True)
class Form:
    """bits: of the values. narrow: the values of 8 bits that products read of layers and states.
    fine: weights have a second int8 for their rest."""

    bits: int
    narrow: bool = False
    fine: bool = False


FORMS = {
    "a8w8": {"plain": Form(8), "mixed": Form(16, narrow=True)},
    "a16w8": {"plain": Form(16), "fine": Form(16, fine=True)},
}


class Tape:
    """ranges: site -> (low, high), None in the run that finds them. fixed: the grids of sites that
    are states. keep: makes a constant of the module. made: the value of each site.
    flat: of sums, beyond which numbers the function that reads them is flat. chosen: site -> a
    number that the first run of all has taken from the calibration set."""

    def __init__(
        self,
        form: Form,
        ranges: Mapping[str, tuple[float, float]] | None,
        fixed: Mapping[str, Grid],
        keep: Callable[[torch.Tensor], torch.Tensor],
        chosen: dict[str, float],
    ) -> None:
        self.form = form
        self.layer = ""
        self.found: dict[str, tuple[float, float]] = {}
        self.made: dict[str, Value] = {}
        self.flat: dict[str, tuple[float, float]] = {}
        self._ranges = ranges
        self._fixed = fixed
        self._keep = keep
        self._chosen = chosen
        self._count = 0
        self._narrowed: dict[Value, Value] = {}

    # --- what a cell calls ---

    def sigmoid(self, a: Any) -> Value:
        return self._function("sigmoid", a)

    def tanh(self, a: Any) -> Value:
        return self._function("tanh", a)

    def relu(self, a: Any) -> Value:
        return self._function("relu", a)

    def split(self, a: Any, parts: int) -> tuple[Any, ...]:
        if isinstance(a, Joined):
            return a.parts
        size = a.size // parts
        spans = [(k * size, (k + 1) * size) for k in range(parts)]
        if parts == 1:
            return (a,)
        if isinstance(a, Sums):
            return tuple(a.columns(*span) for span in spans)
        site = self._site("split")
        return tuple(
            self._unmoved(f"{site}.{k}", a.float[:, start:stop], a.grid)
            for k, (start, stop) in enumerate(spans)
        )

    def join(self, parts: list[Any]) -> Any:
        if len(parts) == 1:
            return parts[0]
        if all(isinstance(part, Sums) for part in parts):
            return Joined(tuple(parts))
        values = [valued(part) for part in parts]
        site = self._site("join")
        if self._ranges is None:
            return self._unmoved(site, torch.cat([v.float for v in values], -1), None)
        grids = {v.on for v in values}
        lows, highs = zip(*(g.range for g in grids), strict=True)
        grid = grids.pop() if len(grids) == 1 else between(min(lows), max(highs), self.form.bits)
        same = [v.float if v.on == grid else self.moved(v, grid).float for v in values]
        return self._unmoved(site, torch.cat(same, -1), grid)

    def sums(self, value: Any) -> Any:
        return value

    def keep(self, name: str, value: Any) -> Any:
        return value

    def normalize(self, a: Any, scale: Any, shift: Any, epsilon: float) -> Any:
        return normalized(self, valued(a), scale, shift, epsilon)

    def softmax(self, a: Any) -> Any:
        raise ValueError("softmax has no form in integers")

    def one_hot(self, a: Any, count: int) -> Any:
        raise ValueError("an embedding has no form in integers")

    # --- what values call ---

    def apply(self, kind: str, a: Any, b: Any, room: float = 1.0) -> Value:
        """room: times the range of the calibration set, if there are 16 bits."""
        site = self._site(kind)
        a = valued(a)
        b = valued(b) if isinstance(b, Value | Sums) else self._constant(b)
        columns = a.columns or b.columns
        if not columns:
            grid = None if self._ranges is None else self._grid(site, room=room)
            return self._result(site, _BINARY[kind](a.float, b.float), grid)
        grid = a.on if a.columns else b.on
        if kind == "mul":
            b = self.scaled(b, ()) if a.columns else b
        else:
            a, b = self.scaled(a, columns), self.scaled(b, columns)
        found = self._result(site, _BINARY[kind](a.float, b.float), grid)
        found.columns = columns
        return found

    def product(self, sums: Sums, function: str) -> Value:
        site = self._site("sum")
        if function in FLAT:
            self.flat[site] = FLAT[function]
        if self._ranges is None:
            return self._watched(site, sums)
        grid = self._grid(site, FLAT.get(function, NOWHERE))
        if self.form.fine:
            x, W = self._side_by_side([(self._narrow(x), W) for x, W in sums.terms])
            return self._result(site, self._linear(x, W, sums.bias, fine=True), grid)
        if len(sums.terms) == 1:
            ((x, W),) = sums.terms
            # ExecuTorch takes no table of 16 bits behind a product of 8 bits.
            x = x if function in FIXED else self._narrow(x)
            return self._result(site, self._linear(x, W, sums.bias), grid)
        # A sum of each vector, so that its weights have their own scale.
        parts = []
        bias = sums.bias
        for n, (x, W) in enumerate(sums.terms):
            name = f"{site}.{n}"
            data = self._linear(self._narrow(x), W, bias)
            parts.append(self._result(name, data, self._grid(name)))
            bias = torch.zeros_like(bias)
        total, *others = parts
        for n, part in enumerate(others, 1):
            own = grid if n == len(others) else self._grid(site)
            total = self._result(site, total.float + part.float, own)
        return total

    def _watched(self, site: str, sums: Sums) -> Value:
        """In floats. The bias counts to the first part."""
        (first, W), *others = sums.terms
        total = first.float @ W + sums.bias
        self._see(f"{site}.0", total)
        for n, (x, other) in enumerate(others, 1):
            part = x.float @ other
            self._see(f"{site}.{n}", part)
            total = total + part
        return self._result(site, total)

    # --- what `norm.py` calls ---

    def choose(self, site: str, made: Callable[[], float]) -> float:
        """A number from the calibration set, the same in each run."""
        if site not in self._chosen:
            self._chosen[site] = made()
        return self._chosen[site]

    def average(self, a: Value, weight: float, added: float = 0.0, room: float = 1.0) -> Value:
        """(N, 1): the sum of each row, times weight, and `added`. room: as of `apply`."""
        site = self._site("average")
        grid = None if self._ranges is None else self._grid(site, room=room)
        return self._result(site, self._alike(a, weight, added), grid)

    def rest(self, a: Value, weight: float) -> Value:
        """(N, 1): a mean that is nothing but rounding. It has no site, because floats have none."""
        data = self._alike(a, weight)
        return Value(self, data if a.grid is None else a.grid.quantize(data), a.grid)

    def beside(self, a: Value, number: float) -> Value:
        """(N, size + 1): with a constant, on the grid of a."""
        site = self._site("beside")
        constant = torch.full((1, 1), number, dtype=a.float.dtype)
        if a.grid is not None:
            constant = a.grid.dequantize(self._keep(a.grid.quantize(constant)))
        if len(a.data) > 1:
            constant = constant.expand(len(a.data), 1)
        return self._unmoved(site, torch.cat([a.float, constant], -1), a.grid)

    def part(self, a: Value, size: int) -> Value:
        """The first columns."""
        return self._unmoved(self._site("part"), a.float[:, :size], a.grid)

    def square(self, a: Value) -> Value:
        """Of the range of a, so that nothing is cut off."""
        site = self._site("square")
        if a.grid is None:
            return self._result(site, a.float * a.float)
        top = max(map(abs, a.grid.range)) ** 2
        return self._result(site, a.float * a.float, between(0.0, top, a.grid.bits))

    def rsqrt(self, a: Value, room: float) -> Value:
        """Below a quarter of the table's first piece it goes no further, because larger results
        would take the steps from those that are right."""
        site = self._site("rsqrt")
        data = torch.rsqrt(a.float)
        if a.grid is None or self._ranges is None:
            return self._result(site, data)
        top = min(self._ranges[site][1] * room, (a.grid.range[1] / 1024) ** -0.5)
        return self._result(site, data, between(0.0, top, a.grid.bits))

    # --- how ---

    def moved(self, value: Value, grid: Grid) -> Value:
        """The value on another grid."""
        return Value(self, grid.quantize(value.float), grid, value.site)

    def scaled(self, value: Value, columns: tuple[float, ...], grid: Grid | None = None) -> Value:
        """The value with other columns. Powers of 2 and their inverses have exact integers."""
        if value.columns == columns:
            return value
        one = (1.0,) * value.size
        ratio = [a / b for a, b in zip(value.columns or one, columns or one, strict=True)]
        bits = self.form.bits
        top = max(ratio)
        constant = Grid(top / 2 ** (bits - 2), 0, bits)
        kept = Value(self, self._keep(constant.quantize(torch.tensor([ratio]))), constant)
        grid = grid or symmetric(max(map(abs, value.on.range)) * top, bits)
        return Value(self, grid.quantize(value.float * kept.float), grid, value.site, columns)

    def _site(self, kind: str) -> str:
        self._count += 1
        return f"{self.layer}.{self._count}.{kind}"

    def _see(self, site: str, data: torch.Tensor) -> Value:
        self.found[site] = (data.min().item(), data.max().item())
        return self._make(site, data, None)

    def _make(self, site: str, data: torch.Tensor, grid: Grid | None) -> Value:
        self.made[site] = made = Value(self, data, grid, site)
        return made

    def _result(self, site: str, data: torch.Tensor, grid: Grid | None = None) -> Value:
        if self._ranges is None:
            return self._see(site, data)
        grid = self._fixed.get(site) or grid or self._grid(site)
        return self._make(site, grid.quantize(data), grid)

    def _unmoved(self, site: str, data: torch.Tensor, grid: Grid | None) -> Value:
        """The result of an operator that leaves numbers as they are: SLICE, CONCAT and, for relu,
        CLAMP. If its inputs are on another grid than its output, ExecuTorch says nothing, and makes
        a wrong graph. So a change of the grid is an operator of its own."""
        if grid is None:
            return self._result(site, data)
        made = self._make(site, grid.quantize(data), grid)
        fixed = self._fixed.get(site, grid)
        if fixed != grid:
            self.made[site] = made = self.moved(made, fixed)
        return made

    def _grid(self, site: str, flat: tuple[float, float] = NOWHERE, room: float = 1.0) -> Grid:
        assert self._ranges is not None
        bits = self.form.bits
        room = room * MARGIN[bits] if bits == 16 else MARGIN[bits]
        low, high = (v * room for v in self._ranges[site])
        return between(max(low, flat[0]), max(min(high, flat[1]), 0.0), bits)

    def _constant(self, value: Any) -> Value:
        data = torch.as_tensor(value, dtype=torch.float32).reshape(1, -1)
        if self._ranges is None:
            return Value(self, data)
        # torch.export has no numbers, so they are those of the run before.
        site = f"{self.layer}.{self._count}.constant"
        low = self.choose(f"{site}.low", lambda: data.min().item())
        high = self.choose(f"{site}.high", lambda: data.max().item())
        grid = between(low, high, self.form.bits)
        return Value(self, self._keep(grid.quantize(data)), grid)

    def _narrow(self, x: Value) -> Value:
        """x in 8 bits, if products read such. The network's inputs stay as they are: they are few,
        and they may be far from zero."""
        if not self.form.narrow or not x.site:
            return x
        assert self._ranges is not None
        if x not in self._narrowed:
            extreme = max(map(abs, self._ranges[x.site])) * MARGIN[8]
            self._narrowed[x] = self.moved(x, symmetric(extreme, 8))
        return self._narrowed[x]

    def _side_by_side(self, terms: list[tuple[Value, torch.Tensor]]) -> tuple[Value, torch.Tensor]:
        """All vectors as one of one grid, and their weights. The numbers stay as they are, and the
        weights take up the ratios of the grids."""
        one = terms[-1][0].on
        weights = torch.cat([W * (x.on.scale / one.scale) for x, W in terms])
        if len(terms) == 1:
            return terms[0][0], weights
        joined = torch.cat([one.dequantize(x.data) for x, _ in terms], -1)
        return Value(self, one.quantize(joined), one), weights

    def _linear(
        self, x: Value, W: torch.Tensor, bias: torch.Tensor, fine: bool = False
    ) -> torch.Tensor:
        """x W + bias, with int8 weights of a scale for each column. fine: as of Form."""
        rows = W.T.contiguous()  # (columns, in)
        top = rows.abs().amax(1).clamp_min(1e-9)
        scales = top / 127
        whole = torch.clamp(torch.round(rows / scales[:, None]), -127, 127)
        if fine:
            # The integers of x on a grid that is FINE times wider are those of x / FINE.
            rest = torch.round((rows / scales[:, None] - whole) * FINE).clamp(-127, 127)
            whole = torch.cat([whole, rest], 1)
            lower = x.on.dequantize(Grid(x.on.scale * FINE, 0, x.on.bits).quantize(x.float))
            x = Value(self, x.on.quantize(torch.cat([x.float, lower], -1)), x.on)
        ops = torch.ops.quantized_decomposed
        kept = self._keep(scales)
        zeros = self._keep(torch.zeros(len(scales), dtype=torch.int64))
        weights = ops.dequantize_per_channel.default(
            self._keep(whole.to(torch.int8)), kept, zeros, 0, -127, 127, torch.int8
        )
        steps = scales * x.on.scale
        low, high = -(2**31), 2**31 - 1
        whole_bias = torch.round(bias.double() / steps.double()).clamp(low, high)
        added = ops.dequantize_per_channel.default(
            self._keep(whole_bias.to(torch.int32)),
            self._keep(steps),
            zeros,
            0,
            low,
            high,
            torch.int32,
        )
        return torch.nn.functional.linear(x.float, weights, added)

    def _alike(self, a: Value, weight: float, added: float = 0.0) -> torch.Tensor:
        """Weights that are alike are exact in one int8."""
        W = torch.full((a.size, 1), weight, dtype=a.float.dtype)
        bias = torch.full((1,), added, dtype=a.float.dtype)
        return a.float @ W + bias if self._ranges is None else self._linear(a, W, bias)

    def _where_not_flat(self, kind: str, a: Value) -> Value:
        """On the range in which the function is not flat, if it is 16 bits of a much wider one,
        such as those of a cell state that has counted up."""
        _, high = FLAT[kind]
        if a.columns:
            return self.scaled(a, (), symmetric(high, self.form.bits) if kind in FIXED else None)
        if a.grid is None or a.grid.bits == 8 or a.grid.range[1] <= WIDE * high:
            return a
        return self.moved(a, symmetric(high, a.grid.bits))

    def _function(self, kind: str, a: Any) -> Value:
        a = a.value(kind) if isinstance(a, Sums) else self._where_not_flat(kind, a)
        site = self._site(kind)
        data = getattr(torch, kind)(a.float)
        if kind not in FIXED:
            return self._unmoved(site, data, a.grid)
        return self._result(site, data, FIXED[kind][self.form.bits])
