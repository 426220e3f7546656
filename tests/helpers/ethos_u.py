"""The C export for Ethos-U: files as Vela writes them, and a driver in the place of Arm's."""

from __future__ import annotations

import ctypes
import dataclasses
import io
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Bundle
from edge_lstm_runtime.backends.tosa.program import Program, unpack
from edge_lstm_runtime.model.npz import write_npz
from helpers.c_folder import run, sources
from helpers.tosa_recorded import Recorded

DRIVER = Path(__file__).with_name("ethos_u_driver")
STOP = 0xFFFF0000  # NPU_OP_STOP
MACS_128 = 7  # log2, of a driver header's configuration


def payload(macs: int = MACS_128) -> bytes:
    """A driver's header as Vela writes it, then two words of commands."""
    config, nop, stream = 1, 5, 2 | 2 << 16
    words = [config | 1 << 20, macs, 0, nop, nop, nop, stream, 0, STOP]
    return b"COP1" + struct.pack(f"<{len(words)}I", *words)


def raw(recorded: Recorded, **other: Any) -> bytes:
    """Vela's file of a recorded program, with names in another order than the program's, and
    outputs that lie over inputs. other: arrays in the place of these."""
    states = list(recorded.spec.network.state)
    arrays: dict[str, Any] = {
        "cmd_data": np.frombuffer(payload(), np.uint8),
        "weight_data": np.arange(37, dtype=np.uint8),
        "scratch_fast_size": np.int64(0),
    }
    arrays |= {f"{n}_region": np.int64(k) for n, k in (("weight", 0), ("scratch", 1))}
    end = 0
    for kind, order in (("input", [*states, "x"]), ("output", [*states[::-1], "y"])):
        of = dict(zip([order[-1], *states], recorded.program[f"{kind}s"], strict=True))
        tensors = [recorded.program["tensors"][of[name]] for name in order]
        sizes = [np.dtype(t["dtype"]).itemsize for t in tensors]
        counts = [math.prod(t["shape"]) for t in tensors]
        ends = np.cumsum(
            [0, *(-(-n * size // 16) * 16 for n, size in zip(counts, sizes, strict=True))]
        )
        arrays |= {
            f"{kind}_name": np.array(order),
            f"{kind}_shape": np.array([[1, 1, 1, 1, 1, n] for n in counts]),
            f"{kind}_elem_size": np.array(sizes),
            f"{kind}_region": np.ones(len(order), int),
            f"{kind}_offset": ends[:-1],
        }
        end = max(end, int(ends[-1]))
    return write_npz({**arrays, "scratch_size": np.int64(end), **other})


@dataclasses.dataclass(frozen=True)
class Place:
    """A tensor in the scratch memory."""

    at: int
    dtype: str
    shape: tuple[int, ...]

    def read(self, scratch: NDArray[np.uint8]) -> NDArray[np.int64]:
        size = np.dtype(self.dtype).itemsize * math.prod(self.shape)
        found = scratch[self.at : self.at + size].view(self.dtype)
        return found.reshape(1, *self.shape).astype(np.int64)

    def write(self, scratch: NDArray[np.uint8], values: NDArray[np.int64]) -> None:
        content = values.astype(self.dtype).tobytes()
        scratch[self.at : self.at + len(content)] = np.frombuffer(content, np.uint8)


class Npu:
    """The integer program on scratch memory, as the NPU has it there. The rest is filled by
    chance."""

    def __init__(self, bundle: Bundle, member: str):
        program, constants = unpack(bundle.member(member), member)
        with np.load(io.BytesIO(bundle.member(member.replace(".tosa", ".npz")))) as file:
            vela = dict(file)
        self._program = Program(program, constants, member)
        states = list(bundle.spec.network.state)
        self.inputs = _places(program, "input", ["x", *states], vela)
        self.outputs = _places(program, "output", ["y", *states], vela)
        self.size = vela["scratch_size"].item()
        self._rng = np.random.default_rng(3)

    def step(self, scratch: NDArray[np.uint8]) -> None:
        given = [place.read(scratch) for place in self.inputs]
        found = self._program.run(given)
        scratch[:] = self._rng.integers(0, 256, len(scratch), np.uint8)
        for place, values in zip(self.outputs, found, strict=True):
            place.write(scratch, values)


def _places(
    program: Mapping[str, Any], kind: str, names: Sequence[str], vela: Mapping[str, Any]
) -> list[Place]:
    order = vela[f"{kind}_name"].tolist()
    found = []
    for name, tensor in zip(names, program[f"{kind}s"], strict=True):
        row = program["tensors"][tensor]
        at = int(vela[f"{kind}_offset"][order.index(name)])
        found.append(Place(at, row["dtype"], tuple(row["shape"])))
    return found


def table(bundle: Bundle, member: str, steps: int) -> str:
    """table.h: the scratch memory before and after each of the first golden steps. Raises
    AssertionError if the features are not what x is quantized from."""
    npu = Npu(bundle, member)
    program, _ = unpack(bundle.member(member), member)
    grid = program["edges"]["x"]
    rows = bundle.spec.features(bundle.golden[0][:steps]).astype(np.float32).astype(np.float64)
    limits = np.iinfo(npu.inputs[0].dtype)
    whole = np.rint(rows / grid["scale"]) + grid["zero_point"]
    states = [
        np.rint(array / program["edges"][name]["scale"]) + program["edges"][name]["zero_point"]
        for name, array in bundle.spec.network.initial_state().items()
    ]
    before, after = [], []
    given = np.zeros(npu.size, np.uint8)
    for place in npu.inputs:
        place.write(given, np.full(place.shape, -1))
    for x in np.clip(whole, limits.min, limits.max):
        scratch = np.zeros(npu.size, np.uint8)
        for place, values in zip(npu.inputs, [x, *states], strict=True):
            place.write(scratch, values)
        before.append(scratch.copy())
        npu.step(scratch)
        after.append(scratch)
        states = [place.read(scratch)[0] for place in npu.outputs[1:]]
    lines = [f"enum {{ SCRATCH = {npu.size}, STEPS = {len(before)} }};"]
    lines.append(f"static const uint8_t inputs[SCRATCH] = {{{', '.join(map(str, given))}}};")
    for name, rows_of in (("before", before), ("after", after)):
        content = ",\n".join("{" + ", ".join(map(str, row)) + "}" for row in rows_of)
        lines.append(f"static const uint8_t {name}[STEPS][SCRATCH] = {{\n{content}}};")
    return "\n".join(lines) + "\n"


def library(folder: Path, to: Path, prefix: str = "model", *options: str) -> ctypes.CDLL:
    """An exported folder and its step for the NPU, for this machine, with the stand-in driver."""
    done = run(
        *("gcc", "-std=gnu99", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"),
        *(f"-DSTAND_IN_LOG2_MACS={MACS_128}", "-DSTAND_IN_BASES=2", *options),
        *(f"-I{DRIVER}/include", f"-I{folder}/include"),
        *(DRIVER / "driver.c", DRIVER / "host.c", folder / "ethos-u" / f"{prefix}_npu.c"),
        *(*sources(folder), "-lm", "-o", to),
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(to))


class Board:
    """A library of `library`, with the NPU's step by `npu`. error: what the driver returns."""

    def __init__(self, built: ctypes.CDLL, npu: Npu, spec: Any, prefix: str = "model"):
        self._library = built
        self._prefix = prefix
        self._outputs = spec.answer.size
        self.error = 0

        def step(memory: int, size: int) -> int:
            if self.error == 0:
                assert size >= npu.size
                scratch = np.frombuffer((ctypes.c_uint8 * size).from_address(memory), np.uint8)
                npu.step(scratch)
            return self.error

        signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
        self._step = signature(step)
        built.stand_in_ask(self._step)
        self.driver = (ctypes.c_void_p * 1)(1)  # its registers: initialized
        assert self("init") == 0

    def __call__(self, name: str, *arguments: Any) -> int:
        found: int = getattr(self._library, f"{self._prefix}_{name}")(*arguments)
        return found

    def start(self) -> None:
        assert self("npu_start", ctypes.byref(self.driver)) == 0

    def step(self, sample: NDArray[Any]) -> NDArray[np.float32]:
        answer = np.full(self._outputs, np.nan, np.float32)
        given = np.ascontiguousarray(sample)
        self.status = self("step", *(ctypes.c_void_p(a.ctypes.data) for a in (given, answer)))
        return answer

    def run(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        return np.stack([self.step(sample) for sample in samples])

    def driver_error(self) -> int:
        return ctypes.c_int.in_dll(self._library, f"{self._prefix}_npu_error").value
