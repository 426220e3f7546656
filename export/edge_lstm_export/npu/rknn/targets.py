"""Rockchip's targets, targets.toml."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.near import did_you_mean

from ..target import Detail, Table, Target

NAME = "rknn"  # of the vendor
_PYTHON = "rknn-toolkit-lite2"


@dataclasses.dataclass(frozen=True)
class Limits:
    """The LSTM operator's, on every target. opset: the newest that the converter reads."""

    batch_multiple: int
    size: int
    hidden_multiple: int
    steps_multiple: int
    opset: int


@dataclasses.dataclass(frozen=True, repr=False)
class RknnTarget(Target):
    """The top of targets.toml explains the keys. None and "" mean unknown.

    >>> import edge_lstm_export as ex
    >>> ex.targets()["rk3588"].lstm  # whether the NPU has the LSTM operator
    'yes'
    """

    generation: int | None
    cores: int | None
    tops: float | None
    lstm_manual: bool | None
    lstm_formats: tuple[str, ...]
    lstm_npu: bool
    lstm_float16: tuple[str, ...]
    python: str
    runtime: str
    reshape: Mapping[str, int]
    reshape_inputs: bool

    @property
    def lstm(self) -> str:
        """ "yes" if the NPU has the LSTM operator, "no" if not. "observed" is added if the manual
        doesn't say."""
        answer = "yes" if self.lstm_npu else "no"
        return answer if self.lstm_manual is not None else f"{answer}, observed"

    def cells(self) -> Sequence[str]:
        cores = str(self.cores or "?")
        schemes = ", ".join(self.schemes)
        return (self.name, cores, schemes, self.lstm, self.python, self.boards or "?")

    def details(self) -> Sequence[Detail]:
        formats = f" ({', '.join(self.lstm_formats)})" if self.lstm_formats else ""
        manual = {True: f"listed{formats}", False: "not listed", None: "unknown"}[self.lstm_manual]
        where = f"in the manual: {manual}; by the converter: on the "
        limit = limits()
        multiples = f"{limit.hidden_multiple}, steps of {limit.steps_multiple}"
        rows: list[Detail] = [
            ("LSTM operator", "lstm", f"{where}{'NPU' if self.lstm_npu else 'CPU'}"),
            *(("", "", f"stored as float16 in {s}") for s in self.lstm_float16),
            ("Python", "python", f"{self.python} ({_PYTHON} on its boards)"),
            ("library", "runtime", self.runtime or "unknown"),
            ("boards", "boards", self.boards or "unknown"),
        ]
        if self.reshape:
            aligned = ", ".join(f"{n} in {s}" for s, n in self.reshape.items())
            words = f"{aligned} (of a size where four dimensions end)"
            rows.append(("alignment", "reshape", words))
        words = "of the LSTM operator, the same in every chapter that lists it  [operators]"
        batch = f"batch 1 or a multiple of {limit.batch_multiple}"
        return [
            *rows,
            ("limits", "", words),
            ("", "", f"{batch}; steps, batch, inputs and hidden up to {limit.size}"),
            ("", "", f"advised: hidden a multiple of {multiples}"),
        ]

    def cited(self) -> Sequence[str]:
        listed = (key for keys in self.sources.values() for key in keys)
        return () if any(key.startswith("operators") for key in listed) else ("operators",)

    def hardware(self) -> Sequence[Detail]:
        return [
            ("generation", "generation", str(self.generation or "unknown")),
            ("cores", "cores", str(self.cores or "unknown")),
            ("TOPS", "tops", f"{self.tops:g}" if self.tops else "unknown"),
        ]


@functools.cache
def table() -> Table:
    return Table.read(files(__package__).joinpath("targets.toml").read_text("utf-8"))


@functools.cache
def targets() -> dict[str, RknnTarget]:
    return {name: _target(common, row) for name, common, row in table().rows(NAME)}


def _target(common: dict[str, Any], row: Mapping[str, Any]) -> RknnTarget:
    return RknnTarget(
        **common,
        generation=row.get("generation"),
        cores=row.get("cores"),
        tops=row.get("tops"),
        lstm_manual=row.get("lstm_manual"),
        lstm_formats=tuple(row.get("lstm_formats", ())),
        lstm_npu=row["lstm_npu"],
        lstm_float16=tuple(row.get("lstm_float16", ())),
        python=row["python"],
        runtime=row.get("runtime", ""),
        reshape=MappingProxyType(row.get("reshape", {})),
        reshape_inputs=row.get("reshape_inputs", False),
    )


@functools.cache
def limits() -> Limits:
    found = table().content["limits"]
    return Limits(**{f.name: found[f.name] for f in dataclasses.fields(Limits)})


def known(target: str) -> RknnTarget:
    """The row of a target. Raises ConfigError if the table has none."""
    if target not in targets():
        hint = did_you_mean(target, targets())
        raise ConfigError(f"target {target!r} is unknown; {hint}known: {', '.join(targets())}")
    return targets()[target]
