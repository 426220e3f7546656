"""Integers that stand for floats."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators that ExecuTorch knows

LIMITS = {8: (-128, 127), 16: (-32768, 32767)}
TYPES = {8: torch.int8, 16: torch.int16}
LEAST = 1e-6  # a range of zero has no scale


@dataclasses.dataclass(frozen=True)
class Grid:
    """value = scale (integer - zero_point)."""

    scale: float
    zero_point: int
    bits: int

    @property
    def arguments(self) -> tuple[Any, ...]:
        return (self.scale, self.zero_point, *LIMITS[self.bits], TYPES[self.bits])

    def quantize(self, value: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = torch.ops.quantized_decomposed.quantize_per_tensor.default(
            value, *self.arguments
        )
        return made

    def dequantize(self, value: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = torch.ops.quantized_decomposed.dequantize_per_tensor.default(
            value, *self.arguments
        )
        return made

    @property
    def range(self) -> tuple[float, float]:
        low, high = LIMITS[self.bits]
        return (low - self.zero_point) * self.scale, (high - self.zero_point) * self.scale


def symmetric(extreme: float, bits: int) -> Grid:
    return Grid(max(extreme, LEAST) / LIMITS[bits][1], 0, bits)


def between(low: float, high: float, bits: int) -> Grid:
    """Only one of 8 bits has a zero point. TOSA has none for 16."""
    if bits == 16:
        return symmetric(max(-low, high), bits)
    low = min(low, 0.0)
    high = max(high, 0.0, low + LEAST)
    scale = (high - low) / 255
    return Grid(scale, int(min(127, max(-128, round(-128 - low / scale)))), bits)


# Of functions with a known range. Their zero is exact.
SIGMOID = {8: Grid(2.0**-8, -128, 8), 16: Grid(2.0**-15, 0, 16)}
TANH = {8: Grid(2.0**-7, 0, 8), 16: Grid(2.0**-15, 0, 16)}
