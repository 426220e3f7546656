"""Where each weight stands, in every form that the project writes or reads.

Canonical (weights.npz, the reference): per layer W_x (inputs, 4 H), W_h (H, 4 H), b (4 H), so that the gates are
`x @ W_x + h @ W_h + b`; the 4 H columns are the gates i, f, g, o, H each. Head: W (H, O), b (O).
    A bidirectional model has the same again as `layer{k}.reverse.W_x` and so on, for the direction from the last sample to the first; the
    inputs of the next layer and of the head are then 2 H, the forward direction's h before the other one's.

PyTorch: the same gate order; matrices transposed; two biases, `bias_ih` and `bias_hh`, that are only ever
    summed, so the canonical form keeps their sum. The other direction's names end in `_reverse`.
ONNX LSTM: gate order i, o, f, c (c is our g); W (1, 4 H, inputs) and R (1, 4 H, H) transposed; B (1, 8 H) holds both biases one after
    the other, so the sum goes into the first half and zeros into the second. The leading dimension is that of the directions, 1 or 2.
Fused (NumPy backend): see `fused`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
GATES = "ifgo"
ONNX_GATES = "iofg"


def gate(array: NDArray[Any], name: str) -> NDArray[Any]:
    """The columns of one gate, (..., H), of a canonical array (..., 4 H)."""
    hidden = array.shape[-1] // 4
    start = GATES.index(name) * hidden
    return array[..., start : start + hidden]


def reorder(array: NDArray[Any], order: str) -> NDArray[Any]:
    """A canonical array (..., 4 H) with its gates in another order, such as "iofg"."""
    return np.concatenate([gate(array, name) for name in order], axis=-1)


def from_torch(
    lstm: Mapping[str, NDArray[Any]], head: Mapping[str, NDArray[Any]], num_layers: int
) -> dict[str, Float32]:
    """Canonical weights from the state dicts, as NumPy arrays, of a torch.nn.LSTM, of one direction or both, and a torch.nn.Linear."""

    def float32(array: NDArray[Any]) -> Float32:
        return np.ascontiguousarray(array, dtype=np.float32)

    weights: dict[str, Float32] = {}
    for k in range(num_layers):
        for ours, theirs in ((f"layer{k}", f"l{k}"), (f"layer{k}.reverse", f"l{k}_reverse")):
            if f"weight_ih_{theirs}" in lstm:
                weights[f"{ours}.W_x"] = float32(lstm[f"weight_ih_{theirs}"].T)
                weights[f"{ours}.W_h"] = float32(lstm[f"weight_hh_{theirs}"].T)
                weights[f"{ours}.b"] = float32(
                    lstm[f"bias_ih_{theirs}"].astype(np.float64) + lstm[f"bias_hh_{theirs}"]
                )
    weights["head.W"] = float32(head["weight"].T)
    weights["head.b"] = float32(head["bias"])
    return weights


def to_onnx(weights: Mapping[str, Float32], layer: int) -> tuple[Float32, Float32, Float32]:
    """W (directions, 4 H, inputs), R (directions, 4 H, H), B (directions, 8 H) of the ONNX LSTM operator for one layer."""
    found: tuple[list[Float32], list[Float32], list[Float32]] = ([], [], [])
    for prefix in prefixes(weights, layer):
        w, r, b = (reorder(weights[f"{prefix}.{name}"], ONNX_GATES) for name in ("W_x", "W_h", "b"))
        for parts, array in zip(
            found, (w.T, r.T, np.concatenate([b, np.zeros_like(b)])), strict=True
        ):
            parts.append(array)
    W, R, B = (np.stack(parts) for parts in found)
    return W, R, B


def prefixes(weights: Mapping[str, Float32], layer: int) -> list[str]:
    """What the names of a layer's weights begin with, for each direction: "layer0" and, where there is one, "layer0.reverse"."""
    return [
        prefix
        for prefix in (f"layer{layer}", f"layer{layer}.reverse")
        if f"{prefix}.W_x" in weights
    ]


def fused(weights: Mapping[str, Float32], layer: int, *, reverse: bool = False) -> Float32:
    """One matrix (4 H, inputs + 1 + H) whose product with [x, 1, h] is every gate, in the order i, f, o, g.

    sigmoid(a) = (1 + tanh(a / 2)) / 2, so the rows of the three sigmoid gates are halved and one tanh serves all four.
    The matrix is in Fortran order, for which BLAS is faster here.
    """
    prefix = f"layer{layer}.reverse" if reverse else f"layer{layer}"
    w, r, b = (weights[f"{prefix}.{name}"] for name in ("W_x", "W_h", "b"))
    columns = np.concatenate([w, b[None], r])  # (inputs + 1 + H, 4 H)
    halved = np.concatenate(
        [
            0.5 * gate(columns, "i"),
            0.5 * gate(columns, "f"),
            0.5 * gate(columns, "o"),
            gate(columns, "g"),
        ],
        axis=1,
    )
    return np.asfortranarray(halved.T, dtype=np.float32)
