"""The least time of a step on a board's CPU, counted from data sheets: an estimate.

A step does each multiply-accumulate once and reads each weight of a product once. So it takes at
least as long as the slowest of the three: the multiply-accumulates at the core's peak, the bytes
through its load pipes, and the bytes that its last cache has no room for through the memory. One
core, one stream, called from C. The gates, and a slower second-level cache, come on top:
docs/measurements.md says how far a real step is above it.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from importlib.resources import files
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BYTES = {"float32": 4, "int8": 1}  # of a weight


@dataclasses.dataclass(frozen=True)
class BoardCPU:
    """A row of boards.toml, which explains the figures. None is unknown."""

    name: str
    core: str
    mhz: float
    cache: int
    macs: float
    load_bytes: float | None
    memory: float | None


@dataclasses.dataclass(frozen=True)
class Estimate:
    """board, core: in words. us: scheme -> the least microseconds of a step. None is unknown."""

    board: str
    core: str
    us: dict[str, float | None]


def least_us(cpu: BoardCPU, macs: int, scheme: str) -> float | None:
    """Microseconds. macs: multiply-accumulates of a step. scheme: a key of BYTES.

    In int8 only the reading counts, because how many products a cycle takes differs from core to
    core. None if the table has nothing to count with.
    """
    data = macs * BYTES[scheme]
    times: list[float] = []
    if scheme == "float32":
        times.append(macs / (cpu.macs * cpu.mhz))
    if cpu.load_bytes is not None:
        times.append(data / (cpu.load_bytes * cpu.mhz))
    if cpu.memory is not None:
        times.append(max(0, data - cpu.cache) / (1e3 * cpu.memory))
    return max(times, default=0.0) or None


def estimates(macs: int) -> list[Estimate]:
    """Of each board, for a network of so many multiply-accumulates a step."""
    return [
        Estimate(cpu.name, cpu.core, {scheme: least_us(cpu, macs, scheme) for scheme in BYTES})
        for cpu in boards().values()
    ]


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("boards.toml").read_text("utf-8"))


@functools.cache
def boards() -> dict[str, BoardCPU]:
    """The boards by their keys in the table."""
    found = {}
    for key, row in _table()["board"].items():
        core = _table()["core"][row["core"]]
        found[key] = BoardCPU(
            name=row["name"],
            core=core["name"],
            mhz=row["mhz"],
            cache=row["cache"],
            macs=core["macs"],
            load_bytes=core.get("load_bytes"),
            memory=row.get("memory"),
        )
    return found


def cited() -> dict[str, str]:
    """ "board.pi5.mhz" and so on -> the documents behind that figure."""
    return {
        f"{kind}.{key}.{fact}": "; ".join(_table()["sources"][name] for name in names)
        for kind in ("core", "board")
        for key, row in _table()[kind].items()
        for fact, names in row["sources"].items()
    }
