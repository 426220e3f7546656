"""Convolutions over the steps that read no later ones. Their past is a state."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_lstm_runtime.layers.causal_conv import CausalConv

from .. import Floats
from .pointwise import Pointwise
from .values import Const, FaultError, Rows, Value, shape_of


@dataclasses.dataclass
class Convolution(Pointwise):
    """pasts: a node that puts zeros in front of the first step -> the node of these steps, how many
    zeros, the axis. In a later window of the original the last steps of the one before stand
    there."""

    pasts: dict[str, tuple[str, int, int]] = dataclasses.field(default_factory=dict, init=False)

    def _pad(self, node: Any, base: str) -> Value:
        source, widths, *rest = node.args
        mode, value = (rest or ["constant"])[0], (rest[1] if len(rest) > 1 else 0.0)
        if base == "constant_pad_nd":
            mode, value = "constant", (rest or [0.0])[0]
        rows = self._rows(source)
        axis = len(rows.axes) - 1
        if mode != "constant" or value or any(widths[2:]):
            raise FaultError(
                f"pads by {list(widths)}, mode {mode!r}, value {value}: expected zeros before the "
                "first step alone, F.pad(x, (n, 0))"
            )
        if rows.axes[axis] != "T":
            raise FaultError("pads an axis that is not the steps")
        if widths[1]:
            raise FaultError(
                f"pads {widths[1]} steps behind the last one, so it reads as many steps ahead: "
                "pad all of them in front, or it needs whole sequences"
            )
        return self._in_front(node, source, rows, widths[0], axis)

    def _in_front(self, node: Any, source: Any, rows: Rows, count: int, axis: int) -> Rows:
        self.pasts[node.name] = (source.name, count, axis)
        return dataclasses.replace(rows, before=count)

    def _cat(self, node: Any, base: str) -> Value:
        """Zeros before the first step are as a pad."""
        parts = node.args[0]
        axis = (node.args[1] if len(node.args) > 1 else 0) % len(shape_of(node))
        values = [self.values[n.name] for n in parts]
        if len(parts) == 2 and isinstance(values[0], Const) and isinstance(values[1], Rows):
            rows = self._rows(parts[1])
            if rows.axes[axis] == "T" and not values[0].tensor.any():
                return self._in_front(node, parts[1], rows, shape_of(parts[0])[axis], axis)
        return super()._cat(node, base)

    def _conv1d(self, node: Any, base: str) -> Value:  # noqa: ARG002
        given = (*node.args, *(None, [1], [0], [1], 1)[len(node.args) - 2 :])
        source, weight, bias, stride, padding, dilation, groups = given
        rows = self._rows(source, padded=True)
        if rows.axes != ("1", "F", "T") and not (self.steps == 1 and rows.axes == ("1", "F", "1")):
            raise FaultError(f"reads the shape {shape_of(source)}, expected (1, features, steps)")
        if list(stride) != [1]:
            raise FaultError(f"moves by {stride[0]} steps (stride), expected 1")
        if isinstance(padding, str):
            raise FaultError(f"pads {padding!r}, expected zeros before the first step alone")
        W = _matrix(self._constant(weight), groups)
        kernel = len(W)
        reach = dilation[0] * (kernel - 1)
        _check_reach(reach, rows.before, padding[0])
        b = np.zeros(W.shape[2]) if bias is None else self._constant(bias)
        plain = dataclasses.replace(rows, before=0)
        key = (*self._called(node), rows.parts)
        if kernel == 1:
            return self._dense(key, plain, node, (W[0], b), "none")
        if padding[0]:
            self.pasts[node.name] = (source.name, padding[0], 2)
        name = self._name(CausalConv.type)
        layer = CausalConv(name, (self._single(plain, node),), W.shape[2], kernel, dilation[0])
        made = self._layer(key, layer, {"W": W.reshape(-1, W.shape[2]), "b": b}, node)
        if padding[0]:  # the node that cuts the rest off is its output
            return Rows((made.name,), rows.axes, after=padding[0])
        return self._of(made, node, plain)

    def _slice(self, node: Any, base: str) -> Value:
        """The steps that a convolution has behind the last one are cut off."""
        value = self.values[node.args[0].name]
        axis = node.args[1] if len(node.args) > 1 else 0
        if isinstance(value, Rows) and value.after and value.axes[axis] != "F":
            start, step = node.args[2] or 0, (*node.args[4:], 1)[0]
            if (start, step, shape_of(node)[axis]) == (0, 1, self.steps):
                cut = dataclasses.replace(value, after=0)
                self._seen(value.parts[0], node, cut)
                return cut
        return super()._slice(node, base)


def _matrix(W: Floats, groups: int) -> Floats:
    """(kernel, inputs, outputs) of PyTorch's (outputs, inputs / groups, kernel).

    Zeros stand for what a group doesn't read.
    """
    outputs, each, kernel = W.shape
    found = np.zeros((kernel, each * groups, outputs))
    for group in range(groups):
        rows = slice(group * each, (group + 1) * each)
        columns = slice(group * outputs // groups, (group + 1) * outputs // groups)
        found[:, rows, columns] = W[columns].transpose(2, 1, 0)
    return found


def _check_reach(reach: int, before: int, padding: int) -> None:
    """reach: how many steps back it reads."""
    if before + padding == reach:
        return
    if 0 < before + padding < reach:
        ahead = reach - before - padding
        raise FaultError(
            f"reads {ahead} steps ahead of the one that it answers: delay its answers by {ahead} "
            f"steps, with {reach} zeros before the first step and none behind, or it needs whole "
            "sequences"
        )
    raise FaultError(
        f"reads {reach} steps back, and {before + padding} zeros stand before the first step; "
        f"expected {reach}: F.pad(x, ({reach}, 0))"
    )
