"""The integer operators of TOSA 1.0, exact to the bit.

Source: the specification TOSA 1.0 (mlplatform.org/tosa), profile PRO-INT with EXT-INT16. All
integers are int64 here, whatever a tensor's own type: an int48 fits, and so does the product of
an int32 by a multiplier. A tensor is (N, *shape): N streams stand before the shape that TOSA knows.

A maker in `OPERATORS` reads what is constant once, when a program is opened. It returns a function
on arrays, and the interval of its results. An interval proves that a sum stays in its type. Where
it does not, TOSA states no answer beyond the type, and the function raises BackendError for it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendError

Array = NDArray[np.int64]
Shape = tuple[int, ...]
Run = Callable[..., Array]
BITS = {"bool": 1, "int8": 8, "int16": 16, "int32": 32, "int48": 48, "shape": 63}
_INT8 = -(2**7)
ROUNDINGS = ("SINGLE_ROUND", "INEXACT_ROUND", "DOUBLE_ROUND")  # 1, 2, 3 in a flatbuffer
EXACT32 = 2**24  # integers up to here, and their sums, are exact in float32
EXACT64 = 2**53  # and in float64


def limits(dtype: str) -> tuple[int, int]:
    """The least and the largest value of a type."""
    if dtype == "bool":
        return 0, 1
    return -(2 ** (BITS[dtype] - 1)), 2 ** (BITS[dtype] - 1) - 1


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What is known of a tensor before a program runs: its values lie in low to high."""

    shape: Shape
    dtype: str
    low: int
    high: int
    constant: Array | None = None  # (1, *shape)


@dataclasses.dataclass(frozen=True)
class Call:
    """One operator of a program. title: for messages. shape, dtype: of its result, as declared."""

    title: str
    inputs: tuple[Tensor, ...]
    shape: Shape
    dtype: str
    attributes: Mapping[str, Any]

    def expect(self, shape: Shape) -> None:
        """Raises ValueError unless this is the declared shape."""
        if shape != self.shape:
            raise ValueError(f"its result has the shape {shape}, and {self.shape} is declared")

    def constant(self, n: int) -> Array:
        """The values of input `n`. Raises ValueError if it is not constant."""
        values = self.inputs[n].constant
        if values is None:
            raise ValueError(f"its input {n} is not constant")
        return values[0]

    def number(self, n: int) -> int:
        """The value of input `n`, which has one."""
        values = self.constant(n)
        if values.size != 1:
            raise ValueError(f"its input {n} has {values.size} values; expected one")
        return int(values.ravel()[0])

    def numbers(self, n: int) -> tuple[int, ...]:
        return tuple(int(v) for v in self.constant(n).ravel())

    def attribute(self, name: str, count: int = 0) -> Any:
        """An attribute: an integer, or a list of `count` integers."""
        value = self.attributes.get(name)
        parts = value if count and isinstance(value, list) else [value]
        if len(parts) != (count or 1) or not all(type(v) in (int, bool) for v in parts):
            what = f"{count} integers" if count else "an integer"
            raise ValueError(f"its attribute {name!r} is {value!r}; expected {what}")
        return value

    def axis(self) -> int:
        """The attribute axis, counted with N in front."""
        axis: int = self.attribute("axis")
        if not 0 <= axis < len(self.inputs[0].shape):
            raise ValueError(f"its axis is {axis}, and its input has {self.inputs[0].shape}")
        return axis + 1


@dataclasses.dataclass(frozen=True)
class Made:
    """A function of the first `count` inputs, and the interval of its results.

    pointwise: each result depends on the values at its own place alone.
    """

    run: Run
    low: int
    high: int
    count: int = 1
    pointwise: bool = False


def _checked(call: Call, run: Run, low: int, high: int, limit: tuple[int, int]) -> Run:
    """`run`, which raises BackendError for results beyond `limit` if its interval goes beyond."""
    least, most = limit
    if least <= low and high <= most:
        return run

    def checked(*arrays: Array) -> Array:
        found = run(*arrays)
        if found.size and not (least <= found.min() and found.max() <= most):
            worst = found.min() if found.min() < least else found.max()
            raise BackendError(
                f"{call.title}: {worst} is beyond {least} to {most}, and TOSA states no answer "
                "for that; the program's scales don't fit its inputs"
            )
        return found

    return checked


def _corners(call: Call, function: Callable[..., Any]) -> tuple[int, int]:
    """The interval of a function that is least and largest at the ends of its inputs' intervals."""
    ends = [(t.low, t.high) for t in call.inputs]
    found = [int(function(*corner)) for corner in itertools.product(*ends)]
    return min(found), max(found)


def _elementwise(call: Call, run: Run, low: int, high: int, count: int = 2) -> Made:
    call.expect(np.broadcast_shapes(*(t.shape for t in call.inputs[:count])))
    limit = limits(call.dtype)
    low_in, high_in = max(low, limit[0]), min(high, limit[1])
    return Made(_checked(call, run, low, high, limit), low_in, high_in, count, pointwise=True)


def _binary(function: Run) -> Callable[[Call], Made]:
    """ADD, SUB, MAXIMUM, MINIMUM: monotonic in each input."""
    return lambda call: _elementwise(call, function, *_corners(call, function))


def _bits(function: Run) -> Callable[[Call], Made]:
    """Whatever gives any number of its type, and none beyond."""
    return lambda call: _elementwise(call, function, *limits(call.dtype), len(call.inputs))


def _comparison(function: Callable[[Array, Array], Any]) -> Callable[[Call], Made]:
    return lambda call: _elementwise(call, lambda a, b: function(a, b).astype(np.int64), 0, 1)


def _wrapped(values: Array, dtype: str) -> Array:
    """The lowest bits of the values, as a number of the type."""
    spare = 64 - BITS[dtype]
    return (values << spare) >> spare


def _clipped(values: Array, low: int, high: int, limit: tuple[int, int]) -> Array:
    """values, an array of the caller's own, in `limit`. low, high: their interval."""
    if low < limit[0]:
        np.maximum(values, limit[0], out=values)
    if high > limit[1]:
        np.minimum(values, limit[1], out=values)
    return values


def _mul(call: Call) -> Made:
    shift = call.number(2)
    if not 0 <= shift <= (63 if call.inputs[0].dtype == "int32" else 0):
        raise ValueError(f"its shift is {shift}")
    half = 1 << shift >> 1

    def run(a: Array, b: Array) -> Array:
        product = a * b
        if shift:
            product += half
            product >>= shift
        return product

    ends = [(t.low, t.high) for t in call.inputs[:2]]
    products = [(a * b + half) >> shift for a, b in itertools.product(*ends)]
    return _elementwise(call, run, min(products), max(products))


def _right_shift(call: Call) -> Made:
    a, b = call.inputs
    most = BITS[a.dtype] - 1
    rounded = bool(call.attribute("round"))

    def run(x: Array, n: Array) -> Array:
        found = x >> n
        if rounded:
            found += (n > 0) & (x >> np.maximum(n - 1, 0)) & 1
        return found

    shifts = _checked(call, lambda n: n, b.low, b.high, (0, most))
    low, high = min(a.low, 0), max(a.high, 0)
    return _elementwise(call, lambda x, n: run(x, shifts(n)), low, high)


def _logical_shift(left: bool) -> Callable[[Call], Made]:
    def make(call: Call) -> Made:
        a, b = call.inputs
        most, mask = BITS[a.dtype] - 1, 2 ** BITS[a.dtype] - 1
        shifts = _checked(call, lambda n: n, b.low, b.high, (0, most))

        def run(x: Array, n: Array) -> Array:
            moved = x << shifts(n) if left else (x & mask) >> shifts(n)
            return _wrapped(moved, a.dtype)

        return _elementwise(call, run, *limits(a.dtype))

    return make


def _divide(call: Call) -> Made:
    def run(a: Array, b: Array) -> Array:
        if not b.all():
            raise BackendError(f"{call.title}: a division by zero")
        return np.sign(a) * np.sign(b) * (abs(a) // abs(b))

    largest = max(abs(call.inputs[0].low), abs(call.inputs[0].high))
    return _elementwise(call, run, -largest, largest)


def _select(call: Call) -> Made:
    _, a, b = call.inputs
    low, high = min(a.low, b.low), max(a.high, b.high)
    return _elementwise(call, lambda c, x, y: np.where(c != 0, x, y), low, high, 3)


def _clamp(call: Call) -> Made:
    least, most = (_stated(call, key) for key in ("min_val", "max_val"))
    if least > most:
        raise ValueError(f"its min_val {least} is above its max_val {most}")
    low, high = _corners(call, lambda v: min(max(v, least), most))
    return _elementwise(call, lambda x: np.minimum(np.maximum(x, least), most), low, high, 1)


def _stated(call: Call, name: str) -> int:
    """An integer, or its bytes in a flatbuffer."""
    value = call.attributes.get(name)
    if isinstance(value, list) and len(value) * 8 >= BITS[call.dtype]:
        return int.from_bytes(bytes(value)[: BITS[call.dtype] // 8], "little", signed=True)
    found: int = call.attribute(name)
    return found


def _abs(call: Call) -> Made:
    low, high = _corners(call, abs)
    spread = call.inputs[0].low < 0 < call.inputs[0].high
    return _elementwise(call, np.abs, 0 if spread else low, high, 1)


def _negate(call: Call) -> Made:
    a, b = call.number(1), call.number(2)
    limit = limits(call.dtype)
    low, high = a + b - call.inputs[0].high, a + b - call.inputs[0].low

    def run(x: Array) -> Array:
        return _clipped(a + b - x, low, high, limit)

    return _elementwise(call, run, max(low, limit[0]), min(high, limit[1]), 1)


def _cast(call: Call) -> Made:
    tensor = call.inputs[0]
    least, most = limits(call.dtype)
    if call.dtype == "bool":
        return _elementwise(call, lambda x: (x != 0).astype(np.int64), 0, 1, 1)
    if least <= tensor.low and tensor.high <= most:
        return _elementwise(call, lambda x: x, tensor.low, tensor.high, 1)
    return _elementwise(call, lambda x: _wrapped(x, call.dtype), least, most, 1)


def _table(call: Call) -> Made:
    table = call.constant(1).ravel()
    wide = call.inputs[0].dtype == "int16"
    if len(table) != (513 if wide else 256):
        raise ValueError(f"its table has {len(table)} values")
    if not wide:
        turned = np.roll(table, _INT8)  # a negative index counts from the end
        return _elementwise(call, lambda x: turned[x], int(table.min()), int(table.max()), 1)
    slopes = np.diff(table)
    if abs(2 * slopes + 1).max() > 2**16:
        raise ValueError("its table has a slope beyond int16")
    bases = 128 * table

    def run(x: Array) -> Array:
        at = (x >> 7) + 256
        return bases[at] + slopes[at] * (x & 127)

    return _elementwise(call, run, int(bases.min()), int(bases.max()), 1)


def _rescale(call: Call) -> Made:
    x = call.inputs[0]
    wide, signed_in, signed_out = (
        call.attribute("scale32"),
        not call.attribute("input_unsigned"),
        not call.attribute("output_unsigned"),
    )
    double = _rounding(call) == ROUNDINGS[2]
    multiplier, shift = call.constant(1).ravel(), call.constant(2).ravel()
    before, after = call.number(3), call.number(4)
    channels = x.shape[-1] if call.attribute("per_channel") and x.shape else 1
    if not len(multiplier) == len(shift) == channels:
        raise ValueError(f"it has {len(multiplier)} multipliers and {len(shift)} shifts")
    if multiplier.min() < 0 or shift.min() < 2 or shift.max() > 62:
        raise ValueError("it has a negative multiplier, or a shift that is not 2 to 62")
    if (double and not wide) or (wide and x.dtype == "int48"):
        raise ValueError("its scale32 fits neither its rounding nor its input")
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
    domain = int(half.min()) if wide else 2**47
    inside = _checked(call, lambda v: v, low - before, high - before, (-domain, domain - 1))
    exact = _checked(call, lambda v: v, found_low, found_high, limits("int32"))

    def run(values: Array) -> Array:
        if not signed_in:
            values = values & mask
        if before:
            values = values - before
        found = exact(scaled(inside(values)))
        found = _clipped(found, found_low, found_high, (least, most))
        return found if signed_out else _wrapped(found, call.dtype)

    low, high = max(found_low, least), min(found_high, most)
    if not signed_out and high > limits(call.dtype)[1]:
        low, high = limits(call.dtype)
    made = _elementwise(call, run, low, high, 1)
    return dataclasses.replace(made, pointwise=channels == 1)


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


def _matmul(call: Call) -> Made:
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
        for place in itertools.product(*map(range, self.kernel)):
            cut = tuple(
                slice(k * d, k * d + (n - 1) * s + 1, s)
                for k, d, n, s in zip(place, self.dilation, self.size, self.stride, strict=True)
            )
            found.append((*place, x[(slice(None), slice(None), *cut)]))
        return found


def _conv2d(call: Call) -> Made:
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


def _depthwise(call: Call) -> Made:
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


def _reduce(function: Callable[..., Any], many: bool = False) -> Callable[[Call], Made]:
    """many: whether the results are sums."""

    def make(call: Call) -> Made:
        axis, x = call.axis(), call.inputs[0]
        call.expect((*x.shape[: axis - 1], 1, *x.shape[axis:]))
        times = x.shape[axis - 1] if many else 1

        def run(values: Array) -> Array:
            found: Array = function(values, axis=axis, keepdims=True)
            return found

        low, high = times * x.low, times * x.high
        limit = limits(call.dtype)
        checked = _checked(call, run, low, high, limit)
        return Made(checked, max(low, limit[0]), min(high, limit[1]))

    return make


def _same(call: Call, shape: Shape, run: Run) -> Made:
    """What moves values and changes none."""
    call.expect(shape)
    return Made(run, call.inputs[0].low, call.inputs[0].high)


def _reshape(call: Call) -> Made:
    shape = call.numbers(1)
    if math.prod(shape) != math.prod(call.inputs[0].shape):
        raise ValueError(f"its input is {call.inputs[0].shape} and its shape {shape}")
    return _same(call, shape, lambda x: x.reshape(len(x), *shape))


def _transpose(call: Call) -> Made:
    shape = call.inputs[0].shape
    perms = tuple(call.attribute("perms", len(shape)))
    if sorted(perms) != list(range(len(shape))):
        raise ValueError(f"its perms are {perms} for {len(shape)} axes")
    axes = (0, *(axis + 1 for axis in perms))
    return _same(call, tuple(shape[axis] for axis in perms), lambda x: x.transpose(axes))


def _slice(call: Call) -> Made:
    shape, start, size = call.inputs[0].shape, call.numbers(1), call.numbers(2)
    parts = list(zip(shape, start, size, strict=True))
    if not all(s >= 0 and n >= 1 and s + n <= most for most, s, n in parts):
        raise ValueError(f"its start {start} and size {size} don't fit {shape}")
    cut = (slice(None), *(slice(s, s + n) for _, s, n in parts))
    return _same(call, size, lambda x: x[cut])


def _concat(call: Call) -> Made:
    axis, shapes = call.axis(), [t.shape for t in call.inputs]
    joined = sum(shape[axis - 1] for shape in shapes)
    whole = {(*shape[: axis - 1], joined, *shape[axis:]) for shape in shapes}
    if len(whole) != 1:
        raise ValueError(f"its inputs are {shapes}")
    call.expect(whole.pop())

    def run(*parts: Array) -> Array:
        streams = max(map(len, parts))  # a constant has one
        full = [np.broadcast_to(part, (streams, *part.shape[1:])) for part in parts]
        return np.concatenate(full, axis)

    low, high = min(t.low for t in call.inputs), max(t.high for t in call.inputs)
    return Made(run, low, high, len(shapes))


def _pad(call: Call) -> Made:
    shape, amounts, value = call.inputs[0].shape, call.numbers(1), call.number(2)
    if len(amounts) != 2 * len(shape) or min(amounts, default=0) < 0:
        raise ValueError(f"its padding is {amounts} for {shape}")
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    call.expect(tuple(n + sum(pair) for n, pair in zip(shape, pairs, strict=True)))
    low, high = min(call.inputs[0].low, value), max(call.inputs[0].high, value)
    return Made(lambda x: np.pad(x, [(0, 0), *pairs], constant_values=value), low, high)


def _tile(call: Call) -> Made:
    shape, times = call.inputs[0].shape, call.numbers(1)
    whole = tuple(n * k for n, k in zip(shape, times, strict=True))
    return _same(call, whole, lambda x: np.tile(x, (1, *times)))


def _reverse(call: Call) -> Made:
    axis = call.axis()
    return _same(call, call.inputs[0].shape, lambda x: np.flip(x, axis))


@dataclasses.dataclass(frozen=True)
class Operator:
    """types: the types of its first inputs and of its result, "a>b" each. inputs: how many."""

    make: Callable[[Call], Made]
    types: str
    inputs: int


_ALL = "int8>int8 int16>int16 int32>int32"
_MOVED = f"{_ALL} bool>bool int48>int48"
_PRODUCTS = "int8>int32 int16>int48"
_RESCALED = " ".join(
    f"{a}>{b}" for a in ("int8", "int16", "int32", "int48") for b in ("int8", "int16", "int32")
)
_TRUTHS = "int32>bool int16>bool int8>bool"
_CASTS = " ".join(f"{a}>{b}" for a, b in itertools.permutations(("bool", "int8", "int16", "int32"), 2))
OPERATORS = {
    "ABS": Operator(_abs, "int32>int32", 1),
    "ADD": Operator(_binary(np.add), "int32>int32", 2),
    "ARITHMETIC_RIGHT_SHIFT": Operator(_right_shift, _ALL, 2),
    "BITWISE_AND": Operator(_bits(np.bitwise_and), _ALL, 2),
    "BITWISE_NOT": Operator(_bits(np.invert), _ALL, 1),
    "BITWISE_OR": Operator(_bits(np.bitwise_or), _ALL, 2),
    "BITWISE_XOR": Operator(_bits(np.bitwise_xor), _ALL, 2),
    "CAST": Operator(_cast, _CASTS, 1),
    "CLAMP": Operator(_clamp, "int8>int8 int16>int16", 1),
    "CONCAT": Operator(_concat, _MOVED, 0),
    "CONV2D": Operator(_conv2d, _PRODUCTS, 5),
    "DEPTHWISE_CONV2D": Operator(_depthwise, _PRODUCTS, 5),
    "EQUAL": Operator(_comparison(np.equal), _TRUTHS, 2),
    "GREATER": Operator(_comparison(np.greater), _TRUTHS, 2),
    "GREATER_EQUAL": Operator(_comparison(np.greater_equal), _TRUTHS, 2),
    "IDENTITY": Operator(lambda call: _same(call, call.inputs[0].shape, lambda x: x), _MOVED, 1),
    "INTDIV": Operator(_divide, "int32>int32", 2),
    "LOGICAL_AND": Operator(_bits(np.bitwise_and), "bool>bool", 2),
    "LOGICAL_LEFT_SHIFT": Operator(_logical_shift(True), _ALL, 2),
    "LOGICAL_NOT": Operator(_bits(lambda x: 1 - x), "bool>bool", 1),
    "LOGICAL_OR": Operator(_bits(np.bitwise_or), "bool>bool", 2),
    "LOGICAL_RIGHT_SHIFT": Operator(_logical_shift(False), _ALL, 2),
    "LOGICAL_XOR": Operator(_bits(np.bitwise_xor), "bool>bool", 2),
    "MATMUL": Operator(_matmul, _PRODUCTS, 4),
    "MAXIMUM": Operator(_binary(np.maximum), _ALL, 2),
    "MINIMUM": Operator(_binary(np.minimum), _ALL, 2),
    "MUL": Operator(_mul, "int8>int32 int16>int32 int32>int32", 3),
    "NEGATE": Operator(_negate, _ALL, 3),
    "PAD": Operator(_pad, _MOVED, 3),
    "REDUCE_MAX": Operator(_reduce(np.max), _ALL, 1),
    "REDUCE_MIN": Operator(_reduce(np.min), _ALL, 1),
    "REDUCE_SUM": Operator(_reduce(np.sum, many=True), "int32>int32", 1),
    "RESCALE": Operator(_rescale, _RESCALED, 5),
    "RESHAPE": Operator(_reshape, _MOVED, 2),
    "REVERSE": Operator(_reverse, _MOVED, 1),
    "SELECT": Operator(_select, "bool>int8 bool>int16 bool>int32 bool>bool", 3),
    "SLICE": Operator(_slice, _MOVED, 3),
    "SUB": Operator(_binary(np.subtract), "int32>int32", 2),
    "TABLE": Operator(_table, "int8>int8 int16>int32", 2),
    "TILE": Operator(_tile, _MOVED, 2),
    "TRANSPOSE": Operator(_transpose, _MOVED, 1),
}  # fmt: skip
