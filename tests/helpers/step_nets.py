"""Small ONNX nets of operators that no layer stands for: one step, with states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .onnx_nets import Builder, Ends

SAMPLES = 24  # of the frame of `frames`
UNITS = 4
INPUTS = 3


def frames(b: Builder) -> Ends:
    """As a net for voice activity: a frame is reflected, cut into overlapping pieces, and squared;
    an LSTM over any number of frames, its states as inputs and outputs."""
    padded = b.add("Pad", "x", b.constant([0, 4, 0, 4], np.int64), mode="reflect")
    one = b.add("Unsqueeze", padded, b.constant([1], np.int64))
    pieces = b.add("Conv", one, b.random(6, 1, 16), kernel_shape=[16], strides=[8])  # (N, 6, 3)
    halves = [
        b.add("Slice", pieces, *(b.constant([n], np.int64) for n in (3 * k, 3 * k + 3, 1)))
        for k in (0, 1)
    ]
    squares = [b.add("Pow", half, b.constant(2.0)) for half in halves]
    size = b.add("Sqrt", b.add("Add", *squares))
    deep = b.add("Relu", b.add("Conv", size, b.random(5, 3, 3), b.random(5)))  # (N, 5, 1)
    rows = b.add("Transpose", deep, perm=[2, 0, 1])
    flipped = b.add("Transpose", rows, perm=[1, 0, 2])  # (N, 1, 5): frames are the steps
    y = b.recurrent("LSTM", flipped, (5, UNITS), ["h", "c"], ["hn", "cn"])
    last = b.add("Gemm", b.squeezed(y, 1, 2), b.random(UNITS, 1), b.random(1))
    b.add("Sigmoid", last, to="y")
    state = (1, 1, UNITS)
    return Ends(
        {"x": ("N", SAMPLES), "h": state, "c": state}, ["y", "hn", "cn"], {"h": "hn", "c": "cn"}
    )


def unrolled(b: Builder) -> Ends:
    """An LSTM cell of single operators, with h and c of one shape. No layer has its Softsign."""
    joined = b.add("Concat", "x", "h", axis=1)
    sums = b.add("Gemm", joined, b.random(INPUTS + UNITS, 4 * UNITS), b.random(4 * UNITS))
    parts = [
        b.add("Slice", sums, *(b.constant([n], np.int64) for n in (k * UNITS, (k + 1) * UNITS, 1)))
        for k in range(4)
    ]
    i, f, o = (b.add("Sigmoid", parts[k]) for k in (0, 1, 3))
    b.add("Add", b.add("Mul", f, "c"), b.add("Mul", i, b.add("Tanh", parts[2])), to="cn")
    b.add("Mul", o, b.add("Softsign", "cn"), to="hn")
    b.add("MatMul", "hn", b.random(UNITS, 2), to="y")
    state = (1, UNITS)
    return Ends(
        {"x": (1, INPUTS), "h": state, "c": state}, ["y", "hn", "cn"], {"h": "hn", "c": "cn"}
    )


def hidden(b: Builder) -> Ends:
    """A GRU over an open number of steps, between operators that have no layer. No state is an
    input."""
    y = b.recurrent("GRU", b.add("Exp", "x"), (INPUTS, UNITS))
    b.add("Softmax", b.squeezed(y, 1), to="y", axis=-1)
    return Ends({"x": ("T", 1, INPUTS)}, ["y"], {})


def saved_steps(b: Builder) -> Ends:
    """A buffer of the last inputs, and a mean of their squares."""
    past = b.add("Concat", "past", "x", axis=0)
    ends = [b.constant([n], np.int64) for n in (1, 5, 0)]
    b.add("Slice", past, *ends, to="past_out")
    b.add("ReduceMean", b.add("Mul", past, past), b.constant([0], np.int64), to="y", keepdims=0)
    return Ends({"x": (1, INPUTS), "past": (4, INPUTS)}, ["y", "past_out"], {"past": "past_out"})


def turned(build: Callable[[Builder], Ends]) -> Callable[[Builder], Ends]:
    """With the outputs of the states in the other order."""

    def other(b: Builder) -> Ends:
        ends = build(b)
        y, *states = ends.outputs
        return Ends(ends.inputs, [y, *reversed(states)], ends.states)

    return other


STEPS: dict[str, Callable[[Builder], Ends]] = {
    "frames": frames,
    "an unrolled cell": unrolled,
    "hidden states": hidden,
    "a buffer": saved_steps,
}
