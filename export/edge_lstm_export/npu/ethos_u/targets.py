"""Arm's targets, targets.toml."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from importlib.resources import files

from ..target import Detail, Table, Target

NAME = "ethos-u"  # of the vendor


@dataclasses.dataclass(frozen=True, repr=False)
class EthosTarget(Target):
    """macs: multiply-accumulates of int8 in a cycle. system_config, memory_mode: of Vela, those
    that an export estimates for. clock_mhz: of that configuration.

    >>> import edge_lstm_export as ex
    >>> ex.targets()["ethos-u55-128"].macs
    128
    """

    macs: int
    system_config: str
    memory_mode: str
    clock_mhz: int

    def cells(self) -> Sequence[str]:
        estimated = f"{self.system_config}, {self.memory_mode}"
        return (self.name, ", ".join(self.schemes), estimated, self.boards or "?")

    def hardware(self) -> Sequence[Detail]:
        return [("MACs", "macs", f"{self.macs} of int8 in a cycle")]

    def details(self) -> Sequence[Detail]:
        clock = f"{self.clock_mhz} MHz"
        return [
            ("estimated", "system_config", f"{self.system_config} ({clock}), {self.memory_mode}"),
            ("boards", "boards", self.boards or "unknown"),
        ]


@functools.cache
def table() -> Table:
    return Table.read(files(__package__).joinpath("targets.toml").read_text("utf-8"))


@functools.cache
def targets() -> Mapping[str, EthosTarget]:
    return {
        name: EthosTarget(
            **common,
            macs=row["macs"],
            system_config=row["system_config"],
            memory_mode=row["memory_mode"],
            clock_mhz=row["clock_mhz"],
        )
        for name, common, row in table().rows(NAME)
    }
