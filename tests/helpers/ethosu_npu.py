"""In the place of an Ethos-U: the integer program of NPU_PROGRAM, a file, answers in memory.

`ethosu_delegate.c` calls it in whatever process LiteRT runs. NPU_WRONG is added to an integer of
each output, or of one: "2", or "2 NAME".
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime.backends.tosa.program import Program, unpack

Places = list[tuple[str, int]]  # the name of a tensor, and the address of its integers


@functools.cache
def _opened(file: str) -> tuple[Any, Program]:
    found, constants = unpack(Path(file).read_bytes(), "the program")
    return found["tensors"], Program(found, constants)


def answer(inputs: Places, outputs: Places) -> None:
    tensors, program = _opened(os.environ["NPU_PROGRAM"])

    def memory(name: str, address: int) -> Any:
        shape = tensors[name]["shape"]
        kind = {"int8": ctypes.c_int8, "int16": ctypes.c_int16}[tensors[name]["dtype"]]
        return np.ctypeslib.as_array((kind * int(np.prod(shape))).from_address(address)), shape

    given = {}
    for name, address in inputs:
        integers, shape = memory(name, address)
        given[name] = integers.astype(np.int64).reshape(1, *shape)
    found = program.run([given[name] for name in program.inputs])
    answers = dict(zip(program.outputs, found, strict=True))
    units, _, chosen = os.environ.get("NPU_WRONG", "0").partition(" ")
    for name, address in outputs:
        integers, _ = memory(name, address)
        integers[:] = answers[name].ravel()
        if chosen in ("", name):
            integers[0] += int(units)
