"""Recurrent layers that a file has as products, splits and functions of a single step.

An LSTM is found by its equations: h = o tanh(c), c = f c_before + i g, where i, f and o are
sigmoids and g is a tanh of sums that depend on h_before. A GRU: h = (1 - z) n + z h_before. Which
unit is which follows from the origins, in whatever order the file has its gates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_lstm_runtime.layers.combine import Combine
from edge_lstm_runtime.layers.gru import Gru
from edge_lstm_runtime.layers.lstm import Lstm

from .. import Floats
from .._elements import Ids, elements, source_of, unit_of
from .._parts import DensePart, LayerPart, Part, RecurrentPart
from .trace import Trace


@dataclasses.dataclass(frozen=True)
class _Sum:
    """columns @ W + b: (n,), (n, units), (units,)."""

    columns: Ids
    W: Floats
    b: Floats

    def rows(self, columns: Ids) -> Floats:
        """(len(columns), units) the weights of some of the columns."""
        places = {column: k for k, column in enumerate(self.columns.tolist())}
        found = np.zeros((len(columns), len(self.b)))
        for row, column in enumerate(columns.tolist()):
            if column in places:
                found[row] = self.W[places[column]]
        return found


class _Finder:
    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._parts = {part.source: part for part in trace.parts}

    def _at(self, columns: Ids) -> tuple[Part | None, Ids]:
        """The part that all these are values of, and which of its units. None for several parts."""
        found = np.unique(source_of(columns))
        part = self._parts.get(int(found[0])) if len(found) == 1 else None
        return part, unit_of(columns)

    def are_states(self, columns: Ids) -> bool:
        kinds = {self._trace.sources[s][0] for s in np.unique(source_of(columns)).tolist()}
        return kinds == {"state"}

    def operands(self, columns: Ids, operation: str) -> tuple[Ids, Ids] | None:
        """What is added or multiplied, of two."""
        part, units = self._at(columns)
        if not isinstance(part, LayerPart) or part.kind is not Combine or len(part.operands) != 2:
            return None
        if part.options["operation"] != operation:
            return None
        one, other = part.operands
        return one[units], other[units]

    def activated(self, columns: Ids, function: str) -> _Sum | None:
        """The sums under an activation."""
        part, units = self._at(columns)
        if not isinstance(part, DensePart) or part.activation != function:
            return None
        return self._sum_of(part, units)

    def _sum_of(self, part: DensePart, units: Ids) -> _Sum:
        if part.W.ndim == 1:
            inner = self.sums(part.columns[units])
            return _Sum(
                inner.columns, inner.W * part.W[units], inner.b * part.W[units] + part.b[units]
            )
        inner = self.sums(part.columns)
        W = part.W[:, units]
        return _Sum(inner.columns, inner.W @ W, inner.b @ W + part.b[units])

    def sums(self, columns: Ids) -> _Sum:
        """The values as products and sums of what is none itself."""
        one = np.eye(len(columns))
        total: dict[int, Floats] = {}
        bias = np.zeros(len(columns))
        for source in np.unique(source_of(columns)).tolist():
            here = source_of(columns) == source
            some = columns[here]
            part = self._parts.get(source)
            if isinstance(part, DensePart) and part.activation == "none":
                found = self._sum_of(part, unit_of(some))
            elif pair := self.operands(some, "add"):
                a, b = map(self.sums, pair)
                both = np.unique(np.concatenate([a.columns, b.columns]))
                found = _Sum(both, a.rows(both) + b.rows(both), a.b + b.b)
            else:
                found = _Sum(some, one[here][:, here], np.zeros(len(some)))
            for k, column in enumerate(found.columns.tolist()):
                row = total.setdefault(column, np.zeros(len(columns)))
                row[here] += found.W[k]
            bias[here] += found.b
        order = np.array(sorted(total), np.int64)
        return _Sum(order, np.stack([total[column] for column in order.tolist()]), bias)

    # --- the cells ---

    def lstm(self, part: LayerPart) -> RecurrentPart | None:
        """The LSTM whose h is the part."""
        for o, tanh_c in _both(part.operands):
            under, units = self._at(tanh_c)
            if not isinstance(under, DensePart) or under.activation != "tanh" or under.W.ndim != 1:
                continue
            if (under.W != 1).any() or under.b.any():
                continue
            c = under.columns[units]
            pair = self.operands(c, "add")
            for kept, new in _both(pair or ()):
                found = self._lstm(part, (o, c), kept, new)
                if found:
                    return found
        return None

    def _lstm(
        self, part: LayerPart, o_c: tuple[Ids, Ids], kept: Ids, new: Ids
    ) -> RecurrentPart | None:
        o, c = o_c
        for f, before in _both(self.operands(kept, "mul") or ()):
            for i, g in _both(self.operands(new, "mul") or ()):
                gates = [self.activated(i, "sigmoid"), self.activated(f, "sigmoid")]
                gates += [self.activated(g, "tanh"), self.activated(o, "sigmoid")]
                if None in gates or not self.are_states(before):
                    continue
                return self._made(part, [gate for gate in gates if gate], c, before)
        return None

    def _made(
        self, part: LayerPart, gates: list[_Sum], c: Ids, before: Ids
    ) -> RecurrentPart | None:
        split = self._split(gates, part.units)
        if split is None:
            return None
        columns, h, W_x, W_h, b = split
        cell = int(source_of(c)[0])
        if not np.array_equal(c, elements(cell, 0, np.arange(part.units))):
            return None
        after = elements(part.source, 0, np.arange(part.units))
        self._trace.fed |= dict(zip(h.tolist(), after.tolist(), strict=True))
        self._trace.fed |= dict(zip(before.tolist(), c.tolist(), strict=True))
        self._trace.sources[cell] = ("cell", part.node)
        found = _recurrent(part, columns, Lstm, (W_x, W_h, b, 0 * b))
        found.cell = cell
        return found

    def _split(
        self, gates: Sequence[_Sum], units: int
    ) -> tuple[Ids, Ids, Floats, Floats, Floats] | None:
        """The columns of x and of h, the weights (gates H, n) and (gates H, H), b (gates H)."""
        all_columns = np.unique(np.concatenate([gate.columns for gate in gates]))
        kinds = np.array([self._trace.sources[s][0] for s in source_of(all_columns).tolist()])
        h = all_columns[kinds == "state"]
        x = all_columns[kinds != "state"]
        if len(h) != units or not len(x):
            return None
        W_x, W_h = (np.concatenate([g.rows(cols) for g in gates], axis=1).T for cols in (x, h))
        return x, h, W_x, W_h, np.concatenate([gate.b for gate in gates])

    def gru(self, part: LayerPart) -> RecurrentPart | None:
        """The GRU whose h = (1 - z) n + z h_before is the part."""
        for kept, new in _both(part.operands):
            for z, before in _both(self.operands(kept, "mul") or ()):
                for rest, n in _both(self.operands(new, "mul") or ()):
                    if not self.are_states(before) or not self._is_rest(rest, z):
                        continue
                    gate = self.activated(z, "sigmoid")
                    inner = self.activated(n, "tanh")
                    if gate and inner and (found := self._gru(part, gate, inner, before)):
                        return found
        return None

    def _is_rest(self, rest: Ids, z: Ids) -> bool:
        """Whether rest is 1 - z."""
        part, units = self._at(rest)
        return (
            isinstance(part, DensePart)
            and part.W.ndim == 1
            and part.activation == "none"
            and bool((part.W == -1).all() and (part.b == 1).all())
            and np.array_equal(part.columns[units], z)
        )

    def _gru(self, part: LayerPart, z: _Sum, n: _Sum, before: Ids) -> RecurrentPart | None:
        """n: the sums under its tanh. Some of their columns are r times something."""
        products = [c for c in n.columns.tolist() if self.operands(np.array([c]), "mul")]
        if len(products) != part.units:
            return None
        inside = np.array(products, np.int64)
        for r_values, other in _both(self.operands(inside, "mul") or ()):
            r = self.activated(r_values, "sigmoid")
            if r is None:
                continue
            outside = ~np.isin(n.columns, inside)
            x_n = _Sum(n.columns[outside], n.W[outside], n.b)
            reset = n.rows(inside)  # what multiplies the products
            if self.are_states(other):  # r h, then the matrix
                states = _Sum(other, reset, np.zeros(part.units))
                h_n, first = states, False
            elif np.array_equal(reset, np.eye(part.units)):
                h_n, first = self.sums(other), True
            else:
                continue
            return self._made_gru(part, [r, z, x_n, h_n], before, linear_before_reset=first)
        return None

    def _made_gru(
        self, part: LayerPart, sums: list[_Sum], before: Ids, *, linear_before_reset: bool
    ) -> RecurrentPart | None:
        *given, h_n = sums
        split = self._split(given, part.units)
        if split is None:
            return None
        columns, h, W_x, W_h, b_x = split
        H = part.units
        if not np.array_equal(np.sort(before), h) or W_h[2 * H :].any():
            return None
        if not np.isin(h_n.columns, h).all():  # the reset gate is on a part of x too
            return None
        W_h[2 * H :] = h_n.rows(h).T
        b_h = np.zeros(3 * H)
        b_h[2 * H :] = h_n.b
        after = elements(part.source, 0, np.arange(H))
        self._trace.fed |= dict(zip(before.tolist(), after.tolist(), strict=True))
        found = _recurrent(part, columns, Gru, (W_x, W_h[:, np.searchsorted(h, before)], b_x, b_h))
        found.options = {"linear_before_reset": linear_before_reset}
        return found


def _both(pair: Any) -> list[tuple[Any, Any]]:
    """A pair in both orders, nothing of nothing."""
    if len(pair) != 2:
        return []
    a, b = pair
    return [(a, b), (b, a)]


def _recurrent(
    part: LayerPart, columns: Ids, kind: Any, rows: tuple[Floats, Floats, Floats, Floats]
) -> RecurrentPart:
    return RecurrentPart(
        *(part.node, part.tensor, part.ids, part.source, columns, part.units),
        *(kind, {}, rows),
        operator=None,
    )


def recognized(trace: Trace) -> None:
    """Put recurrent layers in the place of the parts that are their h."""
    finder = _Finder(trace)
    for k, part in enumerate(trace.parts):
        if isinstance(part, LayerPart) and part.kind is Combine:
            operation = part.options["operation"]
            found = finder.lstm(part) if operation == "mul" else None
            found = finder.gru(part) if operation == "add" else found
            if found:
                trace.parts[k] = found
