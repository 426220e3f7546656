"""RESCALE: an integer of one scale as an integer of another."""

from __future__ import annotations

import dataclasses

import numpy as np

from ...errors import BackendError
from .call import BITS, Array, Call, Made, checked, clipped, elementwise, limits, wrapped

ROUNDINGS = ("SINGLE_ROUND", "INEXACT_ROUND", "DOUBLE_ROUND")  # 1, 2, 3 in a flatbuffer


def rescale(call: Call) -> Made:
    x = call.inputs[0]
    wide = bool(call.attribute("scale32"))
    signed_in, signed_out = (not call.attribute(f"{end}_unsigned") for end in ("input", "output"))
    double = _rounding(call) == ROUNDINGS[2]
    if (double and not wide) or (wide and x.dtype == "int48"):
        raise ValueError("its scale32 fits neither its rounding nor its input")
    multiplier, shift = _scales(call)
    before, after = call.number(3), call.number(4)
    mask = 2 ** BITS[x.dtype] - 1
    low, high = (x.low, x.high) if signed_in or x.low >= 0 else (0, mask)
    if not signed_in:
        before &= mask
    least, most = limits(call.dtype) if signed_out else (0, 2 ** BITS[call.dtype] - 1)
    if not signed_out:
        after &= most
    half = (1 << shift) >> 1
    extra = np.where(shift > 31, 1 << 30, 0) if double else None
    # x m + 2^(s-1) >> s is the same with the twos that m and s have in common taken away.
    twos = np.zeros_like(shift) if double else np.minimum(shift, _twos(multiplier))
    factor, by = multiplier >> twos, shift - twos
    rounding = half >> twos if double else (1 << by) >> 1

    def scaled(values: Array) -> Array:
        found = values * factor
        if extra is not None:
            found += np.where(values >= 0, extra, -extra)
        found += rounding
        found >>= by
        found += after
        return found

    first, last = (scaled(np.array([end - before])) for end in (low, high))
    found_low, found_high = int(first.min()), int(last.max())
    half = half if wide else np.array([2**47])
    safe = -half.min() <= low - before and high - before < half.min()
    exact = checked(call, lambda v: v, found_low, found_high, limits("int32"))

    def run(values: Array) -> Array:
        if not signed_in:
            values = values & mask
        if before:
            values = values - before
        if not safe and ((values < -half) | (values >= half)).any():
            raise BackendError(
                f"{call.title}: a value is beyond its shifts, and TOSA states no answer for that; "
                "the program's scales don't fit its inputs"
            )
        found = exact(scaled(values))
        found = clipped(found, found_low, found_high, (least, most))
        return found if signed_out else wrapped(found, call.dtype)

    low, high = max(found_low, least), min(found_high, most)
    if not signed_out and high > limits(call.dtype)[1]:
        low, high = limits(call.dtype)
    made = elementwise(call, run, low, high, 1)
    return dataclasses.replace(made, pointwise=len(shift) == 1)


def _scales(call: Call) -> tuple[Array, Array]:
    """The multipliers and the shifts, (1,) or (channels,)."""
    shape = call.inputs[0].shape
    multiplier, shift = call.constant(1).ravel(), call.constant(2).ravel()
    channels = shape[-1] if call.attribute("per_channel") and shape else 1
    if not len(multiplier) == len(shift) == channels:
        raise ValueError(f"it has {len(multiplier)} multipliers and {len(shift)} shifts")
    if multiplier.min() < 0 or shift.min() < 2 or shift.max() > 62:
        raise ValueError("it has a negative multiplier, or a shift that is not 2 to 62")
    return multiplier, shift


def _rounding(call: Call) -> str:
    stated = call.attributes.get("rounding_mode")
    if stated in ROUNDINGS:
        return str(stated)
    if type(stated) is int and 1 <= stated <= len(ROUNDINGS):
        return ROUNDINGS[stated - 1]
    raise ValueError(f"its rounding_mode is {stated!r}; expected one of {', '.join(ROUNDINGS)}")


def _twos(numbers: Array) -> Array:
    """How often each number can be halved; 62 times for zero."""
    lowest = np.where(numbers == 0, 1 << 62, numbers & -numbers)
    return np.log2(lowest.astype(np.float64)).astype(np.int64)
