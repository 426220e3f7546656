"""The step in C for a board without an operating system: what the templates of `bare_metal/` see.

The driver's interface is that of Arm's ethosu_driver.h. The base addresses of a command stream are
0: weights, 1: scratch, which has the inputs and outputs too, 2: fast scratch, if there is any.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import Bundle, ConversionError
from edge_lstm_runtime.backends.tosa.backend import KIND, TosaBackend
from edge_lstm_runtime.backends.tosa.program import unpack

from ..in_c import InC
from .targets import targets

DRIVER = "0.16.0 and 1.99.0"  # versions of ethosu_driver.h, whose interface was read
CORSTONE_300 = ("0x48102000", "56")  # the NPU's registers and interrupt
HAVE_CORSTONE_300 = ("ethos-u55-", "ethos-u65-")
TYPES = {"int8": "int8_t", "int16": "int16_t"}
PAYLOAD = b"COP1"  # of the driver's header
REGIONS = {"weight": 0, "scratch": 1, "input": 1, "output": 1}


@dataclasses.dataclass(frozen=True)
class Edge:
    """An input or output: value = scale (integer - zero). before, after: its place in the scratch
    memory before and after a step, or None. low, high: of the integers, less zero. initial: of a
    state, in a new stream. columns: what the scale of a state is multiplied by, for each value, or
    nothing."""

    name: str
    type: str
    size: int
    scale: float
    zero: int
    low: int
    high: int
    before: int | None = None
    after: int | None = None
    initial: tuple[int, ...] = ()
    columns: tuple[float, ...] = ()


def c_source(bundle: Bundle, member: str, rows: NDArray[np.float32]) -> InC:
    """Raises ConversionError if Vela's file is missing, or is not as the driver's call needs it."""
    row = bundle.manifest["artifacts"][member]
    raw = f"{member.removesuffix(KIND)}npz"
    if raw not in bundle.members:
        raise ConversionError(f"the bundle has no {raw}; export it with --target {row['target']}")
    vela = bundle.arrays(raw)
    program, constants = unpack(bundle.member(member), member)
    _check(vela, raw)
    edges = _edges(bundle, program, vela, raw)
    backend = TosaBackend(bundle.spec, program, constants, title=member)
    states = [edges[name] for name in bundle.spec.network.state]
    chip = targets()[row["target"]]
    corstone = chip.npu.startswith(HAVE_CORSTONE_300)
    base, irq = CORSTONE_300 if corstone else ("", "")
    commands, weights = vela["cmd_data"].tobytes(), vela["weight_data"].tobytes()
    facts = {
        "target": row["target"],
        "scheme": row["scheme"],
        "npu": chip.npu,
        "family": f"Ethos-{chip.npu.split('-')[1].upper()}",
        "macs": chip.macs,
        "driver": DRIVER,
        "base": base,
        "irq": irq,
        "commands": _words(commands),
        "command_bytes": len(commands),
        "weights": _words(weights),
        "weight_bytes": len(weights),
        "scratch_bytes": vela["scratch_size"].item(),
        "fast_bytes": vela["scratch_fast_size"].item(),
        "x": edges["x"],
        "y": edges["y"],
        "states": states,
        "state_bytes": sum(s.size * int(s.type.strip("int_")) // 8 for s in states),
        "rows": rows.tolist(),
        "outputs": backend.run(rows).tolist(),
    }
    summary = (
        f"{row['target']} {row['scheme']}: {len(commands):,} B of commands, {len(weights):,} B of "
        f"weights, {facts['scratch_bytes'] + facts['fast_bytes']:,} B of scratch; not run here"
    )
    folder = files(__package__) / "bare_metal"
    templates = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    return InC(dict(sorted(templates.items())), facts, summary)


def _check(vela: Mapping[str, NDArray[Any]], raw: str) -> None:
    """The memory is where the driver's base addresses have it. Raises ConversionError."""
    if vela["cmd_data"].tobytes()[:4] != PAYLOAD:
        raise ConversionError(f"{raw}: its commands begin with another header than {PAYLOAD!r}")
    expected = REGIONS | ({"scratch_fast": 2} if vela["scratch_fast_size"].item() else {})
    for name, region in expected.items():
        if f"{name}_region" not in vela:
            raise ConversionError(f"{raw} has no {name}_region")
        if (found := set(vela[f"{name}_region"].ravel().tolist())) != {region}:
            raise ConversionError(f"{raw}: {name} is in region {found}, expected {region}")


def _edges(
    bundle: Bundle, program: Mapping[str, Any], vela: Mapping[str, NDArray[Any]], raw: str
) -> dict[str, Edge]:
    """x, y and the states. Raises ConversionError if Vela's have other sizes."""
    initial = bundle.spec.network.initial_state()
    names = list(initial)
    found: dict[str, Edge] = {}
    for kind, first in (("input", "x"), ("output", "y")):
        tensors = dict(zip([first, *names], program[f"{kind}s"], strict=True))
        order = vela[f"{kind}_name"].tolist() if f"{kind}_name" in vela else []
        if sorted(order) != sorted(tensors):
            raise ConversionError(
                f"{raw} names the {kind}s {order}, expected {list(tensors)}; "
                f"{bundle.spec.answer.make} again"
            )
        for k, name in enumerate(order):
            tensor = program["tensors"][tensors[name]]
            edge = found.get(name) or _edge(name, tensor, program["edges"][name], initial)
            size = int(np.prod(vela[f"{kind}_shape"][k]))
            width = 8 * int(vela[f"{kind}_elem_size"][k])
            if (size, TYPES.get(f"int{width}")) != (edge.size, edge.type):
                raise ConversionError(
                    f"{raw}: {name} has {size} values of {width} bits, expected {edge.size} of "
                    f"{edge.type}"
                )
            at = int(vela[f"{kind}_offset"][k])
            if not 0 <= at <= vela["scratch_size"].item() - size * width // 8:
                raise ConversionError(f"{raw}: {name} lies at {at}, outside of the scratch memory")
            if kind == "input":
                found[name] = dataclasses.replace(edge, before=at)
            else:
                found[name] = dataclasses.replace(edge, after=at)
    return found


def _edge(
    name: str,
    tensor: Mapping[str, Any],
    grid: Mapping[str, Any],
    initial: Mapping[str, NDArray[Any]],
) -> Edge:
    if tensor["dtype"] not in TYPES:
        raise ConversionError(f"{name} is {tensor['dtype']}, expected one of {', '.join(TYPES)}")
    limits = np.iinfo(tensor["dtype"])
    scale, zero = float(grid["scale"]), int(grid["zero_point"])
    low, high = int(limits.min) - zero, int(limits.max) - zero
    start = np.asarray(initial.get(name, ()), np.float64)
    columns = tuple(map(float, grid.get("columns", ())))
    steps = scale * np.array(columns or (1.0,))
    whole = (np.clip(np.rint(start / steps), low, high) + zero).astype(int)
    size = int(np.prod(tensor["shape"]))
    kind = TYPES[tensor["dtype"]]
    first = tuple(whole.tolist())
    return Edge(name, kind, size, scale, zero, low, high, initial=first, columns=columns)


def _words(content: bytes) -> list[str]:
    """As 32-bit words, little-endian."""
    padded = content + bytes(-len(content) % 4)
    return [f"0x{word:08x}u" for word in np.frombuffer(padded, "<u4").tolist()]
