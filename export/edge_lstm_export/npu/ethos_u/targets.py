"""Arm's targets and the boards that have them, targets.toml."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from ..target import Detail, Table, Target

NAME = "ethos-u"  # of the vendor


@dataclasses.dataclass(frozen=True, repr=False)
class EthosTarget(Target):
    """A configuration of the NPU, or a board that has it. `boards` is then what it is called.

    macs           multiply-accumulates of int8 in a cycle
    npu            Vela's name of the NPU: that of the target, but for a board
    system_config, memory_mode  of Vela, those that an export compiles and estimates for
    clock_mhz      of that configuration
    section        key -> value of the configuration, if it is not of Vela's own file
    npu_mhz        the board's own clock, None if unknown
    memory         of the board, "" if unknown

    >>> import edge_lstm_export as ex
    >>> ex.targets()["ethos-u55-128"].macs
    128
    >>> board = ex.targets()["alif-e7-hp"]
    >>> board.npu, board.clock_mhz
    ('ethos-u55-256', 400)
    """

    macs: int
    npu: str
    system_config: str
    memory_mode: str
    clock_mhz: int
    section: Mapping[str, str | float]
    npu_mhz: int | None = None
    memory: str = ""

    @property
    def is_board(self) -> bool:
        return self.name != self.npu

    @property
    def configuration(self) -> str:
        return f"{self.system_config} ({self.clock_mhz} MHz), {self.memory_mode}"

    def cells(self) -> Sequence[str]:
        estimated = f"{self.system_config}, {self.memory_mode}"
        return (self.name, ", ".join(self.schemes), estimated, self.boards or "?")

    def hardware(self) -> Sequence[Detail]:
        macs = f"{self.macs} of int8 in a cycle"
        if not self.is_board:
            return [("MACs", "macs", macs)]
        clock = f"{self.npu_mhz} MHz" if self.npu_mhz else "unknown"
        return [
            ("NPU", "macs", f"{self.npu}, MACs: {macs}"),
            ("NPU's clock", "npu_mhz", clock),
            ("memory", "memory", self.memory or "unknown"),
        ]

    def details(self) -> Sequence[Detail]:
        estimated = ("estimated", "system_config", self.configuration)
        if self.is_board:
            return [estimated, ("board", "boards", self.boards)]
        found = [b for b in targets().values() if b.is_board and b.npu == self.name]
        lines = [f"{b.name}: {b.boards}; {b.configuration}" for b in found] or ["unknown"]
        return [estimated, *(("" if n else "boards", "", line) for n, line in enumerate(lines))]


@functools.cache
def table() -> Table:
    return Table.read(files(__package__).joinpath("targets.toml").read_text("utf-8"))


@functools.cache
def targets() -> Mapping[str, EthosTarget]:
    """The NPU's configurations, then the boards."""
    content = table().content
    found = {}
    for name, common, row in table().rows(NAME):
        boards = [board for board, its in content["board"].items() if its["npu"] == name]
        own = {**common, "boards": ", ".join(boards)}
        found[name] = EthosTarget(**own, macs=row["macs"], npu=name, **_configuration(row))
    for name, row in content["board"].items():
        found[name] = dataclasses.replace(
            found[row["npu"]],
            name=name,
            boards=row["boards"],
            sources=MappingProxyType({f: tuple(keys) for f, keys in row["sources"].items()}),
            npu_mhz=row.get("npu_mhz"),
            memory=row.get("memory", ""),
            **_configuration(row),
        )
    return MappingProxyType(found)


def _configuration(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("system_config", "memory_mode", "clock_mhz")
    section = table().content["vela"].get(row["system_config"], {})
    return {**{name: row[name] for name in names}, "section": MappingProxyType(section)}
