"""Operators that move axes, take single steps, or put them together. They make no layer."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from .values import Axes, FaultError, Rows, State, Value, base_of, shape_of

CASTS = ("to", "_to_copy")
SAME = (
    *("dropout", "dropout_", "clone", "contiguous", "detach", "detach_", "alias"),
    *("lift_fresh_copy", *CASTS),
)
RESHAPED = (
    *("view", "reshape", "flatten", "unflatten", "expand", "expand_as"),
    *("squeeze", "unsqueeze"),
)
PERMUTED = ("transpose", "permute", "t", "swapaxes")
COPIES = {"clone", "lift_fresh_copy", "_to_copy"}
VIEWS = {  # that may have the memory of what they read
    *(set(SAME) - COPIES),
    *(*RESHAPED, *PERMUTED, "select", "slice", "chunk", "split", "unbind"),
}


@dataclasses.dataclass
class Moves:
    """values: of the nodes so far. steps: W. starts: recurrent layer -> its first node.

    memory: a node that may share its memory with others -> the first of them
    """

    values: dict[str, Value] = dataclasses.field(default_factory=dict, init=False)
    steps: int = dataclasses.field(default=1, init=False)
    starts: dict[str, str] = dataclasses.field(default_factory=dict, init=False)
    memory: dict[Any, Any] = dataclasses.field(default_factory=dict, init=False)

    def _same(self, node: Any, base: str) -> Value:
        if base.startswith("dropout") and node.args[1] and node.args[2]:
            raise FaultError(
                "drops values at random: exported in training mode; call net.eval() first"
            )
        if base in CASTS:
            old, new = (n.meta["val"].dtype for n in (node.args[0], node))
            whole = old.is_floating_point and not new.is_floating_point
            if new != old and (whole or new.itemsize < 4):
                kind = str(new).removeprefix("torch.")
                raise FaultError(f"rounds to {kind}, which there is no layer for")
        return self.values[node.args[0].name]

    def _share(self, node: Any) -> None:
        """Note whose memory a node has, and what an operator in place changes there."""
        base = base_of(node)
        changes = base.endswith("_")
        source: Any = node.args[0] if node.args else node
        taken = "getitem" in str(node.target) and source in self.memory
        if base in VIEWS or changes or taken:
            self.memory[node] = self.memory.setdefault(source, source)
        if not changes:
            return
        places = {n: k for k, n in enumerate(node.graph.nodes)}
        before = self.values[source.name]
        for other, memory in self.memory.items():
            later = any(places[user] > places[node] for user in other.users)
            if memory is not self.memory[node] or other is node or not later:
                continue
            if self.values[other.name] != before:
                raise FaultError(f"changes {other.name!r} in place, another view of its values")
            self.values[other.name] = self.values[node.name]
        self.values[source.name] = self.values[node.name]

    def _rows(self, node: Any, *, padded: bool = False) -> Rows:
        """The value of a node that a layer reads. padded: it may have zeros in front."""
        value = self.values[node.name]
        if isinstance(value, Rows) and (value.after or (value.before and not padded)):
            where = "behind the last step" if value.after else "before the first step"
            raise FaultError(f"reads {value.after or value.before} steps {where}")
        if isinstance(value, State) and len(value.items) == 1 and value.at >= 0:
            name, which = value.items[0]
            if which == "h":
                last = len(shape_of(node)) - 1
                return Rows((name,), (*("1",) * last, "F"), self._at(value.at))
        if not isinstance(value, Rows):
            kind = "a state" if isinstance(value, State) else "a constant"
            raise FaultError(
                f"reads {kind}, {node.name!r}, expected features or the output of a layer"
            )
        return value

    def _at(self, step: int) -> int | None:
        return step if self.steps > 1 else None

    def _reshaped(self, node: Any, base: str) -> Value:  # noqa: ARG002
        value = self.values[node.args[0].name]
        shape = shape_of(node)
        old = shape_of(node.args[0])
        if isinstance(value, State):
            if shape[-1] != old[-1] or math.prod(shape[:-1]) != len(value.items):
                raise FaultError("takes a state apart in a way that is not known")
            return value
        rows = self._rows(node.args[0])
        big = [(n, axis) for n, axis in zip(old, rows.axes, strict=True) if n != 1]
        if [n for n, _ in big] != [n for n in shape if n != 1]:
            raise FaultError(f"makes {shape} of {old}, and so mixes steps and features")
        left = iter(big)
        axes = ["1" if n == 1 else next(left)[1] for n in shape]
        if "F" not in axes and axes[-1] == "1":
            axes[-1] = "F"  # a single feature
        return dataclasses.replace(rows, axes=tuple(axes))

    def _permuted(self, node: Any, base: str) -> Value:
        rows = self._rows(node.args[0])
        order = list(range(len(rows.axes)))
        if base == "permute":
            order = [n % len(order) for n in node.args[1]]
        else:
            one, other = node.args[1:] if base != "t" else (0, -1)
            order[one], order[other] = order[other], order[one]
        return dataclasses.replace(rows, axes=tuple(rows.axes[n] for n in order))

    def _select(self, node: Any, base: str) -> Value:  # noqa: ARG002
        axis, index = node.args[1:]
        return self._one(node.args[0], axis, index, node)

    def _unbind(self, node: Any, base: str) -> Value:  # noqa: ARG002
        axis = node.args[1] if len(node.args) > 1 else 0
        reads = {n.args[1]: n for n in node.users}
        return tuple(
            self._one(node.args[0], axis, k, reads[k]) if k in reads else None
            for k in range(shape_of(node.args[0])[axis])
        )

    def _one(self, node: Any, axis: int, index: int, taken: Any) -> Value:
        """taken: the node that is one place of an axis of a node."""
        value = self.values[node.name]
        shape = shape_of(node)
        axis %= len(shape)
        if isinstance(value, State):
            if shape[axis] == 1:
                return value
            if axis == len(shape) - 1:
                raise FaultError("takes single values out of a state")
            return dataclasses.replace(value, items=(value.items[index],))
        rows = self._rows(node)
        kind = rows.axes[axis]
        axes = rows.axes[:axis] + rows.axes[axis + 1 :]
        if kind == "F" and shape[axis] > 1:
            rows = dataclasses.replace(rows, axes=axes)
            return self._chosen(rows, taken, range(shape[axis])[index:][:1])
        if kind == "T":
            return Rows(rows.parts, axes, index % self.steps)
        return dataclasses.replace(rows, axes=axes)

    def _slice(self, node: Any, base: str) -> Value:  # noqa: ARG002
        value = self.values[node.args[0].name]
        axis = node.args[1] if len(node.args) > 1 else 0
        shape = shape_of(node)
        if shape == shape_of(node.args[0]):
            return value
        start, end = (*node.args[2:4], None, None)[:2]
        if isinstance(value, State) and axis == 0 and len(node.args) < 5:
            return dataclasses.replace(value, items=value.items[start:end])
        if isinstance(value, Rows) and value.axes[axis] == "T" and shape[axis] == 1:
            rows = self._rows(node.args[0])
            at = range(self.steps)[start:end][0]
            return Rows(rows.parts, _swap(rows.axes, axis, "1"), at)
        if isinstance(value, Rows) and value.axes[axis] == "F":
            size = shape_of(node.args[0])[axis]
            step = (*node.args[4:], 1)[0]
            places = range(size)[start:end:step]
            if not places:
                raise FaultError("takes no feature at all")
            return self._chosen(self._rows(node.args[0]), node, places)
        raise FaultError("takes some of the steps alone")

    def _chosen(self, rows: Rows, node: Any, places: range) -> Rows:
        """Some of the features."""
        raise NotImplementedError

    def _chunks(self, node: Any, base: str) -> Value:
        """Equal parts, or parts of given sizes."""
        value = self.values[node.args[0].name]
        axis = (node.args[2] if len(node.args) > 2 else 0) % len(shape_of(node.args[0]))
        sizes = [tuple(part.shape)[axis] for part in node.meta["val"]]
        if isinstance(value, State) and axis == 0 and set(sizes) == {1}:
            return tuple(dataclasses.replace(value, items=(item,)) for item in value.items)
        rows = self._rows(node.args[0])
        if rows.axes[axis] == "T" and set(sizes) == {1}:
            return tuple(
                Rows(rows.parts, _swap(rows.axes, axis, "1"), self._at(step))
                for step in range(self.steps)
            )
        if rows.axes[axis] != "F":
            raise FaultError(f"cuts an axis that is not the features [{base}]")
        ends = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
        parts = [range(ends[k], ends[k + 1]) for k in range(len(sizes))]
        reads = {n.args[1]: n for n in node.users}
        return tuple(
            self._chosen(rows, reads[k], part) if k in reads else None
            for k, part in enumerate(parts)
        )

    def _stack(self, node: Any, base: str) -> Value:
        axis = node.args[1] if len(node.args) > 1 else 0
        return self._together(node, base, axis % len(shape_of(node)), new=True)

    def _cat(self, node: Any, base: str) -> Value:
        axis = (node.args[1] if len(node.args) > 1 else 0) % len(shape_of(node))
        values = [self.values[n.name] for n in node.args[0]]
        if any(isinstance(value, State) for value in values):
            return self._together(node, base, axis, new=False)
        rows = [self._rows(n) for n in node.args[0]]
        if rows[0].axes[axis] != "F":
            return self._together(node, base, axis, new=False)
        self._alike(rows)
        return dataclasses.replace(rows[0], parts=sum((r.parts for r in rows), ()))

    def _together(self, node: Any, base: str, axis: int, new: bool) -> Value:
        """Single steps to all of them, or states of layers to one."""
        values = [self.values[n.name] for n in node.args[0]]
        states = [s for v in values if (s := self._state(v))]
        rows = [v for v in values if isinstance(v, Rows)]
        axes = rows[0].axes if rows else ()
        steps = "T" if self.steps > 1 else "1"
        grown = (*axes[:axis], steps, *axes[axis + (not new) :])
        every = [self._at(step) for step in range(self.steps)]
        complete = len(rows) == len(values) and [r.at for r in rows] == every
        alike = len({(r.parts, r.axes) for r in rows}) == 1 and (new or axes[axis] == "1")
        if complete and alike:
            return Rows(rows[0].parts, grown)
        if len(states) == len(values) and len({s.at for s in states}) == 1:
            return State(sum((s.items for s in states), ()), states[0].at)
        raise FaultError(f"puts parts together that are not each step once, in order [{base}]")

    def _state(self, value: Value) -> State | None:
        """The value as a state: the output of a recurrent layer at one step is its h."""
        if isinstance(value, Rows) and len(value.parts) == 1 and value.parts[0] in self.starts:
            at = 0 if self.steps == 1 else value.at
            return None if at is None else State(((value.parts[0], "h"),), at)
        return value if isinstance(value, State) else None

    def _alike(self, rows: list[Rows]) -> None:
        if len({r.at for r in rows}) > 1:
            raise FaultError("reads several steps at once, which there is no layer for yet")
        if len({r.axes for r in rows}) > 1:
            raise FaultError("reads parts whose axes differ")


def _swap(axes: Axes, place: int, axis: str) -> Axes:
    return (*axes[:place], axis, *axes[place + 1 :])
