"""GRU: Cho et al. 2014 (arXiv 1406.1078), with ONNX's two places for the reset gate.

    r, z = sigmoid(x W_x + h W_h + b)            h = n + z (h - n)
    n = tanh(x W_xn + b_xn + r (h W_hn + b_hn))  if linear_before_reset, as torch.nn.GRU
    n = tanh(x W_xn + (r h) W_n + b_n)           otherwise

W_x (inputs, 3 H) has the columns r, z, n, H each. If linear_before_reset, W_h (H, 3 H) has the same
and b (4 H) is r, z, n of x, n of h. Otherwise W_h (H, 2 H) has r and z, W_n (H, H) has its own
product, and b (3 H) is r, z, n.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from . import Array, Fast, Float32, Layer, Product, Shape
from .ops import Ops


@dataclasses.dataclass(frozen=True)
class Gru(Layer):
    """units: H. linear_before_reset: r multiplies the product of h, not h itself."""

    type = "gru"
    units: int
    linear_before_reset: bool = True

    def outputs(self, inputs: int) -> int:
        return self.units

    def weights(self, inputs: int) -> dict[str, Shape]:
        H = self.units
        if self.linear_before_reset:
            return {"W_x": (inputs, 3 * H), "W_h": (H, 3 * H), "b": (4 * H,)}
        return {"W_x": (inputs, 3 * H), "W_h": (H, 2 * H), "W_n": (H, H), "b": (3 * H,)}

    def state(self, inputs: int) -> dict[str, int]:
        return {"h": self.units}

    def macs(self, inputs: int) -> int:
        return super().macs(inputs) + 2 * self.units  # r (n of h) or r h, and z (h - n)

    @property
    def bounded(self) -> bool:
        return True

    def cell(
        self,
        ops: Ops,
        product: Product,
        weights: Mapping[str, Array],
        x: Array,
        state: Mapping[str, Array],
    ) -> tuple[Array, dict[str, Array]]:
        h = state["h"]
        x_r, x_z, x_n = ops.split(product("W_x", x), 3)
        h_r, h_z, *h_n = ops.split(product("W_h", h), 3 if self.linear_before_reset else 2)
        sums = ops.join([x_r + h_r, x_z + h_z, x_n, *h_n]) + weights["b"]
        r, z, x_n, *h_n = ops.split(ops.sums(sums), 3 + len(h_n))
        r = ops.keep("r", ops.sigmoid(r))
        z = ops.keep("z", ops.sigmoid(z))
        rest = r * h_n[0] if h_n else product("W_n", r * h)
        n = ops.keep("n", ops.tanh(x_n + rest))
        h = n + z * (h - n)
        return h, {"h": h}

    def joined(self, ops: Ops, weights: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        W_x = weights["W_x"]
        W_h = weights["W_h"]
        b = weights["b"]
        r_z = W_h[:, : 2 * self.units]
        none = 0 * W_h[:, : self.units]
        if not self.linear_before_reset:  # W_n has its own product
            return W_x, ops.join([r_z, none]), b
        zeros = 0 * W_x[:, : self.units]
        return ops.join([W_x, zeros]), ops.join([r_z, none, W_h[:, 2 * self.units :]]), b

    def separated(self, ops: Ops, W_x: Array, W_h: Array) -> dict[str, Array]:
        H = self.units
        parts = [W_h[:, : 2 * H], W_h[:, 3 * H :]][: 2 if self.linear_before_reset else 1]
        return {"W_x": W_x[:, : 3 * H], "W_h": ops.join(parts)}

    def fast(
        self, weights: Mapping[str, Float32], vector: Float32, inputs: int, batch: Shape
    ) -> Fast:
        """One product of [x, 1, h] and one tanh serve both gates. W_n has its own product."""
        H = self.units
        W = fused(weights, H)
        h = vector[inputs + 1 :]
        W_n = None if self.linear_before_reset else np.asfortranarray(weights["W_n"].T)
        sums = np.zeros((len(W), *batch), np.float32)
        gates = sums[: 2 * H]
        r = sums[:H]
        z = sums[H : 2 * H]
        n = sums[2 * H : 3 * H]
        h_n = sums[3 * H :] if W_n is None else np.empty((H, *batch), np.float32)
        half = np.full((2 * H, *batch), 0.5, np.float32)  # NumPy converts a scalar at each call
        product = W.dot
        tanh = np.tanh
        multiply = np.multiply
        add = np.add

        def step() -> None:
            product(vector, sums)
            tanh(gates, gates)
            multiply(gates, half, gates)  # sigmoid(a) = tanh(a / 2) / 2 + 1 / 2
            add(gates, half, gates)
            if W_n is None:
                multiply(r, h_n, r)
            else:
                multiply(r, h, r)
                W_n.dot(r, h_n)
                r[:] = h_n
            add(n, r, n)
            tanh(n, n)
            np.subtract(h, n, h)
            multiply(z, h, h)
            add(n, h, h)

        return Fast(step, {"h": h})


def fused(weights: Mapping[str, Float32], units: int) -> Float32:
    """(S, inputs + 1 + H): its product with [x, 1, h] is r, z, n of x and, if S is 4 H, n of h.

    sigmoid(a) = (1 + tanh(a / 2)) / 2, so the rows of r and z are halved. The matrix is in Fortran
    order, because BLAS is faster with it here.
    """
    W_x = weights["W_x"]
    W_h = weights["W_h"]
    b = weights["b"]
    sums = len(b)
    columns = np.zeros((len(W_x) + 1 + units, sums), np.float32)
    columns[: len(W_x), : 3 * units] = W_x
    columns[len(W_x)] = b
    columns[len(W_x) + 1 :, : 2 * units] = W_h[:, : 2 * units]
    columns[len(W_x) + 1 :, 3 * units :] = W_h[:, 2 * units :]
    columns[:, : 2 * units] *= np.float32(0.5)
    return np.asfortranarray(columns.T)


LAYER = Gru
