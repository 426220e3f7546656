"""Operators on each step by itself: products with weights, arithmetic, activations, norms."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_lstm_runtime.layers.layer_norm import LayerNorm
from edge_lstm_runtime.layers.prelu import Prelu
from edge_lstm_runtime.layers.scale import Scale
from edge_lstm_runtime.layers.softmax import Softmax

from .. import Floats
from .making import Making
from .values import FaultError, Rows, Value, base_of, shape_of

ACTIVATIONS = {"tanh": "tanh", "sigmoid": "sigmoid", "relu": "relu"}
SLOPE = 0.01  # of PyTorch's leaky ReLU


@dataclasses.dataclass
class Pointwise(Making):
    # --- products with a matrix ---

    def _linear(self, node: Any, base: str) -> Value:  # noqa: ARG002
        bias = node.args[2] if len(node.args) > 2 else None
        return self._product(node, node.args[0], self._constant(node.args[1]).T, bias)

    def _matmul(self, node: Any, base: str) -> Value:
        bias, source, weight = node.args if base == "addmm" else (None, *node.args)
        if node.kwargs:
            raise FaultError("has factors of its own, which there is no layer for")
        W = self._constant(weight)
        if W.ndim != 2:
            raise FaultError(f"multiplies by a tensor of the shape {W.shape}, expected a matrix")
        return self._product(node, source, W, bias)

    def _product(self, node: Any, source: Any, W: Floats, bias: Any) -> Value:
        rows = self._rows(source)
        if rows.axes[-1] != "F":
            raise FaultError("multiplies an axis that is not the features")
        b = np.zeros(W.shape[1]) if bias is None else self._constant(bias)
        last, activation = _activated(node)
        key = (*self._called(node), rows.parts, activation)
        made = self._dense(key, rows, last, (W, b), activation)
        if last is not node:
            self.fused[last.name] = made
        return made

    def _chosen(self, rows: Rows, node: Any, places: range) -> Rows:
        """Some of the features: a dense layer with one 1 in each column."""
        W = np.eye(self._size(rows))[:, list(places)]
        key = ("chosen", rows.parts, places)
        return self._dense(key, rows, node, (W, np.zeros(len(places))), "none")

    # --- each value by itself ---

    def _scaled(
        self, key: Any, rows: Rows, node: Any, factors: tuple[Any, Any], activation: Any = "none"
    ) -> Rows:
        """activation(a x + b). factors: a and b, numbers or (n,)."""
        n = self._size(rows)
        try:
            a, b = (np.broadcast_to(np.asarray(f, np.float64).reshape(-1), (n,)) for f in factors)
        except ValueError:
            shapes = [np.shape(f) for f in factors if np.size(f) > 1]
            raise FaultError(
                f"computes with a constant of the shape {shapes[0]}, expected one value or {n}, "
                "of each feature"
            ) from None
        layer = Scale(self._name(Scale.type), (self._single(rows, node),), activation)
        made = self._layer((*key, rows.parts), layer, {"a": a, "b": b}, node)
        return self._of(made, node, rows)

    def _activation(self, node: Any, base: str) -> Value:
        kind = ACTIVATIONS[base.rstrip("_")]
        return self._scaled((kind,), self._rows(node.args[0]), node, (1.0, 0.0), kind)

    def _arithmetic(self, node: Any, base: str) -> Value:
        """Of two tensors, or of a tensor and a constant."""
        operation = base.rstrip("_")
        a, b = node.args[:2]
        if node.kwargs.get("alpha", 1) != 1:
            raise FaultError("adds with a factor (alpha), which there is no layer for yet")
        if node.kwargs.get("rounding_mode"):
            raise FaultError("rounds what it divides, which there is no layer for")
        if operation == "rsub":
            operation, a, b = "sub", b, a
        if not (self._is_constant(a) or self._is_constant(b)):
            return self._of_two(node, operation, [self._rows(a), self._rows(b)])
        first = self._is_constant(a)
        rows = self._rows(b if first else a)
        c = self._feature_constant(rows, a if first else b)
        key = self._called(node)
        if operation == "div":
            if first:
                raise FaultError("divides by a tensor, which there is no layer for")
            return self._scaled(key, rows, node, (1 / c, 0.0))
        factors = {
            "add": (1.0, c),
            "mul": (c, 0.0),
            "sub": (-1.0, c) if first else (1.0, -c),
        }
        return self._scaled(key, rows, node, factors[operation])

    def _feature_constant(self, rows: Rows, node: Any) -> Any:
        """A constant that is the same at each step, as a number or (n,)."""
        c = self._constant(node)
        if np.size(c) == 1 and np.ndim(c) <= len(rows.axes):
            return float(np.reshape(c, ()))
        axis = np.ndim(c) - (len(rows.axes) - rows.axes.index("F"))
        more = np.ndim(c) > len(rows.axes)  # axes, which the result then has too
        if axis < 0 or more or np.size(c) != np.shape(c)[axis]:
            raise FaultError(
                f"computes with a constant of the shape {np.shape(c)}, expected one value for each "
                "feature"
            )
        return np.reshape(c, -1)

    def _of_two(self, node: Any, operation: str, rows: list[Rows]) -> Value:
        self._alike(rows)
        if len({self._size(r) for r in rows}) > 1:
            raise FaultError(f"computes with parts of unequal size [{operation}]")
        if operation == "div":
            raise FaultError("divides by a tensor, which there is no layer for")
        if operation == "sub":
            names = tuple(self._single(r, node) for r in rows)
            both = dataclasses.replace(rows[0], parts=names)
            one = np.eye(self._size(rows[0]))
            W = np.concatenate([one, -one])
            return self._dense(("sub", names), both, node, (W, np.zeros(len(one))), "none")
        return self._combined(operation, rows, node)

    def _negative(self, node: Any, base: str) -> Value:
        return self._scaled((base,), self._rows(node.args[0]), node, (-1.0, 0.0))

    def _gated(self, node: Any, base: str) -> Value:
        """SiLU: x sigmoid(x). GLU: the first half times the sigmoid of the second."""
        rows = self._rows(node.args[0])
        if base == "glu":
            axis = node.args[1] if len(node.args) > 1 else -1
            n = self._size(rows)
            if rows.axes[axis] != "F":
                raise FaultError("halves an axis that is not the features")
            one, other = (
                self._chosen(rows, node, range(n)[k * n // 2 : (k + 1) * n // 2]) for k in (0, 1)
            )
        else:
            one = other = rows
        gate = self._scaled(("sigmoid",), other, node, (1.0, 0.0), "sigmoid")
        for part in (one, other, gate):  # their outputs are inside of the node
            if part is not rows:
                self.found.pop(part.parts[0], None)
        return self._combined("mul", [one, gate], node)

    def _prelu(self, node: Any, base: str) -> Value:
        rows = self._rows(node.args[0])
        given = node.args[1] if len(node.args) > 1 else SLOPE
        slope = self._constant(given).reshape(-1)
        if base == "prelu" and len(slope) > 1 and rows.axes.index("F") != 1:
            raise FaultError("has a slope for each value of axis 1, which is not the features")
        slopes = np.broadcast_to(slope, (self._size(rows),))
        layer = Prelu(self._name(Prelu.type), (self._single(rows, node),))
        key = (*self._called(node), rows.parts)
        made = self._layer(key, layer, {"slope": slopes}, node)
        return self._of(made, node, rows)

    # --- all features of a step together ---

    def _softmax(self, node: Any, base: str) -> Value:
        rows = self._rows(node.args[0])
        if rows.axes[node.args[1]] != "F":
            raise FaultError("is a softmax over an axis that is not the features")
        layer = Softmax(self._name(Softmax.type), (self._single(rows, node),))
        return self._of(self._layer((base, rows.parts), layer, {}, node), node, rows)

    def _layer_norm(self, node: Any, base: str) -> Value:  # noqa: ARG002
        source, shape, weight, bias, epsilon, *_ = (*node.args, None, None, 1e-5)[:5]
        rows = self._rows(source)
        n = self._size(rows)
        if rows.axes[-1] != "F" or list(shape) != [n]:
            raise FaultError(f"normalizes over {list(shape)}, expected the {n} features alone")
        a = np.ones(n) if weight is None else self._constant(weight)
        b = np.zeros(n) if bias is None else self._constant(bias)
        layer = LayerNorm(
            self._name(LayerNorm.type), (self._single(rows, node),), float(np.float32(epsilon))
        )
        key = (*self._called(node), rows.parts)
        return self._of(self._layer(key, layer, {"a": a, "b": b}, node), node, rows)

    def _batch_norm(self, node: Any, base: str) -> Value:
        source, weight, bias, mean, variance = node.args[:5]
        training, _, epsilon = node.args[5:8] if base == "batch_norm" else (False, *node.args[5:7])
        rows = self._rows(source)
        if training or mean is None:
            raise FaultError(
                "normalizes over a batch: exported in training mode, or without running "
                "statistics; call net.eval() first"
            )
        if len(rows.axes) > 1 and rows.axes[1] != "F":
            raise FaultError(f"normalizes axis 1 of {shape_of(source)}, which is not the features")
        means = self._constant(mean)
        deviation = np.sqrt(self._constant(variance) + np.float64(np.float32(epsilon)))
        a = 1 / deviation if weight is None else self._constant(weight) / deviation
        b = -means * a if bias is None else self._constant(bias) - means * a
        self._exactly(weight, a.astype(np.float32) * deviation)
        self._exactly(bias, b.astype(np.float32) + means * a.astype(np.float32))
        return self._scaled(self._called(node), rows, node, (a, b))

    def _exactly(self, node: Any, value: Floats) -> None:
        """Make a weight of the original what ours, rounded to float32, stand for."""
        import torch

        if node is not None and node.op == "placeholder":
            self.tensors[node.name] = torch.from_numpy(np.ascontiguousarray(value))


def _activated(node: Any) -> tuple[Any, str]:
    """The activation that alone reads a node, and its name. Else the node itself, and "none"."""
    users = list(node.users)
    if len(users) == 1 and (kind := ACTIVATIONS.get(base_of(users[0]).rstrip("_"))):
        return users[0], kind
    return node, "none"
