"""Sums of products: MATMUL and the convolutions."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .call import Array, Call, Made, Tensor, limits

EXACT32 = 2**24  # integers up to here, and their sums, are exact in float32
EXACT64 = 2**53  # and in float64


def _float_for(call: Call, bound: int) -> type[np.floating[Any]]:
    """The float in which a sum of products, in any order, is exact: integers up to `bound`.

    So the products may be BLAS's, which sums in an order of its own. Raises ValueError if the sum
    may leave its type, or float64.
    """
    if bound > min(limits(call.dtype)[1], EXACT64):
        raise ValueError(f"its sums may reach {bound}, which {call.dtype} can't hold")
    return np.float32 if bound <= EXACT32 else np.float64


def _largest(tensor: Tensor, zero: int) -> int:
    return max(abs(tensor.low - zero), abs(tensor.high - zero))


def matmul(call: Call) -> Made:
    a, b = call.inputs[:2]
    zero_a, zero_b = call.number(2), call.number(3)
    (batch, rows, inner), (batches, inner_b, columns) = a.shape, b.shape
    if (batch, inner) != (batches, inner_b):
        raise ValueError(f"its inputs are {a.shape} and {b.shape}")
    call.expect((batch, rows, columns))
    bound = inner * _largest(a, zero_a) * _largest(b, zero_b)
    kind = _float_for(call, bound)

    def run(x: Array, y: Array) -> Array:
        product = (x - zero_a).astype(kind) @ (y - zero_b).astype(kind)
        return product.astype(np.int64)

    return Made(run, -bound, bound, 2)


@dataclasses.dataclass(frozen=True)
class _Window:
    """The places of a convolution's input that one tap of its kernel meets, for all results."""

    pad: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    kernel: tuple[int, ...]
    size: tuple[int, ...]  # of the result

    @staticmethod
    def of(call: Call, kernel: tuple[int, ...]) -> _Window:
        pad = tuple(call.attribute("pad", 4))
        stride, dilation = (tuple(call.attribute(name, 2)) for name in ("stride", "dilation"))
        size = []
        for n, length in enumerate(call.inputs[0].shape[1:3]):
            reach = length + pad[2 * n] + pad[2 * n + 1] - 1 - (kernel[n] - 1) * dilation[n]
            if min(stride[n], dilation[n]) < 1 or min(pad) < 0 or reach < 0 or reach % stride[n]:
                raise ValueError(f"its pad {pad}, stride {stride}, dilation {dilation} don't fit")
            size.append(reach // stride[n] + 1)
        return _Window(pad, stride, dilation, kernel, tuple(size))

    def padded(self, x: NDArray[Any]) -> NDArray[Any]:
        top, bottom, left, right = self.pad
        if not any(self.pad):
            return x
        return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right), (0, 0)))

    def taps(self, x: NDArray[Any]) -> list[tuple[int, int, NDArray[Any]]]:
        """x: (N, B, H, W, C), padded -> views (N, B, *size, C), each with its place."""
        found = []
        height, width = self.kernel
        for place in itertools.product(range(height), range(width)):
            cut = tuple(
                slice(k * d, k * d + (n - 1) * s + 1, s)
                for k, d, n, s in zip(place, self.dilation, self.size, self.stride, strict=True)
            )
            found.append((*place, x[(slice(None), slice(None), *cut)]))
        return found


def conv2d(call: Call) -> Made:
    x = call.inputs[0]
    zero = call.number(3)
    weights = call.constant(1) - call.number(4)
    outputs, height, width, inner = weights.shape
    if inner != x.shape[-1]:
        raise ValueError(f"its input is {x.shape} and its weights are {weights.shape}")
    window = _Window.of(call, (height, width))
    call.expect((x.shape[0], *window.size, outputs))
    # Without padding the zero point moves into the bias: (x - z) w + b = x w + (b - z sum w).
    moved = not any(window.pad)
    bias = np.broadcast_to(call.constant(2), (outputs,))
    each = abs(weights).reshape(outputs, -1).sum(1)
    bound = int((each * _largest(x, zero) + abs(bias)).max())
    if moved:
        bias = bias - zero * weights.reshape(outputs, -1).sum(1)
    reach = int((each * _largest(x, 0 if moved else zero) + abs(bias)).max())
    kind = np.result_type(_float_for(call, bound), np.float32 if reach <= EXACT32 else np.float64)
    taps = np.ascontiguousarray(weights.transpose(1, 2, 3, 0), kind)  # (KH, KW, IC, OC)
    offset = bias.astype(kind)

    def run(values: Array) -> Array:
        floats = values.astype(kind) if moved else window.padded((values - zero).astype(kind))
        found: Any = offset
        for k, j, part in window.taps(floats):
            found = part.reshape(-1, inner) @ taps[k, j] + found
        whole: Array = found.astype(np.int64).reshape(len(values), *call.shape)
        return whole

    return Made(run, -bound, bound)


def depthwise(call: Call) -> Made:
    x = call.inputs[0]
    zero = call.number(3)
    weights = call.constant(1) - call.number(4)
    height, width, channels, times = weights.shape
    if channels != x.shape[-1]:
        raise ValueError(f"its input is {x.shape} and its weights are {weights.shape}")
    window = _Window.of(call, (height, width))
    call.expect((x.shape[0], *window.size, channels * times))
    bias = call.constant(2)
    each = abs(weights).reshape(height * width, -1).sum(0)
    bound = int((each * _largest(x, zero) + abs(bias)).max())
    _float_for(call, bound)  # int64 is exact for more; this asks for the result's type

    def run(values: Array) -> Array:
        found = np.zeros((len(values), *call.shape), np.int64) + bias
        for k, j, part in window.taps(window.padded(values - zero)):
            found += (part[..., None] * weights[k, j]).reshape(found.shape)
        return found

    return Made(run, -bound, bound)
