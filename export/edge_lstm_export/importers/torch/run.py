"""The original: the graph of torch.export, computed by PyTorch in float64."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConversionError

from .. import Float32, Floats
from .values import ODD, base_of

ANSWER = ""  # among the nodes: the output, as it is after all of them


@dataclasses.dataclass
class Program:
    """An `Original`. It takes the samples in windows of the exported length, and carries the state.

    nodes    the calls of the graph, in order
    values   placeholder -> its tensor in float64: weights, and given states, which are zeros
    x        the placeholder of the features
    shape    of it
    last     whether its steps are its last axis
    whole_numbers  whether it is of integers
    steps    W, of a window
    loops    a recurrent node -> the last node of its loop in a window. Their states enter the next
             window in the place of the initial ones
    given    placeholder of a state -> the node whose value it is in the next window
    pasts    a node that puts zeros in front of the first step -> the node of these steps, how many
             zeros, the axis. Their last steps stand there in the next window
    found    layer -> the nodes that are its output, and the axis of time in it. None: of one step
    y        the node of the answer
    """

    tool: str
    nodes: list[Any]
    values: dict[str, Any]
    x: str
    shape: tuple[int, ...]
    last: bool
    whole_numbers: bool
    steps: int
    loops: dict[str, str]
    given: dict[str, str]
    pasts: dict[str, tuple[str, int, int]]
    found: dict[str, tuple[list[str], int | None]]
    y: str
    double: bool = True

    def run(self, xs: Float32) -> dict[str, Floats]:
        import torch

        from edge_lstm.threads import one

        try:
            with torch.no_grad(), one():
                return self._run(xs)
        except ODD as e:
            raise ConversionError(f"PyTorch can't run the net: {str(e).splitlines()[0]}") from e

    def _run(self, xs: Float32) -> dict[str, Floats]:
        import torch

        count = -(-len(xs) // self.steps)
        padded = np.zeros((count * self.steps, xs.shape[1]), np.float64)
        padded[: len(xs)] = xs
        rows: dict[str, list[Floats]] = {layer: [] for layer in self.found}
        values = dict(self.values)
        carried: dict[str, Any] = {}
        past: dict[str, Any] = {}
        for window in padded.reshape(count, self.steps, -1):
            laid_out = window.T[None] if self.last else window.reshape(self.shape)
            x = torch.from_numpy(np.ascontiguousarray(laid_out))
            values[self.x] = x.long() if self.whole_numbers else x
            computed, kept = self._window(values, carried, past)
            for layer, (nodes, axis) in self.found.items():
                rows[layer] += [_steps(kept[node], axis) for node in nodes]
            carried = {first: computed[last] for first, last in self.loops.items()}
            for name, node in self.given.items():
                values[name] = computed[node].reshape(values[name].shape)
        return {layer: np.concatenate(found)[: len(xs)] for layer, found in rows.items()}

    def _window(
        self, values: dict[str, Any], carried: dict[str, Any], past: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Floats]]:
        """The values of all nodes, by name, and copies of those of `found`.

        A node may change the value of another in place. carried: the outputs of the last window's
        loops. past: of each node of `pasts` the steps before this window, which are then replaced.
        """
        import torch
        from torch.fx.node import map_aggregate

        computed = dict(values)
        wanted = {node for nodes, _ in self.found.values() for node in nodes}
        kept = {}

        def actual(a: Any) -> Any:
            if isinstance(a, torch.fx.Node):
                return computed[a.name]
            if isinstance(a, torch.dtype) and a.is_floating_point:
                return torch.float64
            if isinstance(a, float):
                return float(np.float32(a))  # as in the module, whose numbers are float32
            return torch.device("cpu") if isinstance(a, torch.device) else a

        for node in self.nodes:
            args = list(map_aggregate(node.args, actual))
            if node.name in carried:
                args[1] = _state(args[1], carried[node.name])
            kwargs = map_aggregate(node.kwargs, actual)
            if node.name in self.pasts:
                value = self._after_past(node, args, computed, past)
            else:
                value = node.target(*args, **kwargs)
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                value = value.double()  # zeros of the default type
            computed[node.name] = value
            if node.name in wanted:
                kept[node.name] = value.numpy().copy()
        kept[ANSWER] = computed[self.y].numpy()  # as it is in the end
        return computed, kept

    def _after_past(
        self, node: Any, args: list[Any], computed: dict[str, Any], past: dict[str, Any]
    ) -> Any:
        """The value of a node of `pasts`, with the steps before the window in place of zeros."""
        import torch

        source, count, axis = self.pasts[node.name]
        x = computed[source]
        shape = [count if k == axis else size for k, size in enumerate(x.shape)]
        zeros = x.new_zeros(shape)
        joined = torch.cat([past.get(node.name, zeros), x], dim=axis)
        past[node.name] = joined.narrow(axis, joined.shape[axis] - count, count)
        if not base_of(node).startswith("conv"):
            return joined
        args[0] = torch.cat([joined, zeros], dim=axis)  # with its own zeros behind
        args[4] = [0]
        return node.target(*args)


def _state(initial: Any, output: Any) -> Any:
    """What enters a recurrent node in the place of `initial`.

    A cell's output is the new state, h or (h, c). A node for a sequence has its outputs before it.
    """
    if isinstance(initial, list | tuple):
        return list(output[-2:])
    return output[-1] if isinstance(output, tuple) else output


def _steps(value: Floats, axis: int | None) -> Floats:
    """(W, n), or (1, n) of one step."""
    if axis is None:
        return value.reshape(1, -1)
    return np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)
