"""The table of targets, targets.toml."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.near import did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclasses.dataclass(frozen=True)
class Limits:
    """The LSTM operator's, on every target. opset: the newest that the converter reads."""

    batch_multiple: int
    size: int
    hidden_multiple: int
    steps_multiple: int
    opset: int


@dataclasses.dataclass(frozen=True)
class Target:
    """A row of the table. The top of targets.toml explains the keys. None and "" mean unknown.

    >>> import edge_lstm_export as ex
    >>> chip = ex.targets()["rk3588"]
    >>> chip
    Target(rk3588: fp16, w8a8)
    >>> chip.accurate  # the scheme that rounds least
    'fp16'
    >>> chip.lstm  # whether the NPU has the LSTM operator
    'yes'
    """

    name: str
    generation: int | None
    cores: int | None
    tops: float | None
    schemes: tuple[str, ...]
    refused: Mapping[str, str]
    verified: tuple[str, ...]
    lstm_manual: bool | None
    lstm_formats: tuple[str, ...]
    lstm_npu: bool
    lstm_float16: tuple[str, ...]
    python: str
    runtime: str
    reshape: Mapping[str, int]
    reshape_inputs: bool
    boards: str
    sources: Mapping[str, tuple[str, ...]]

    def __repr__(self) -> str:
        return f"Target({self.name}: {', '.join(self.schemes)})"

    @property
    def accurate(self) -> str | None:
        """The scheme that rounds least, or None if all of them round visibly."""
        return next((s for s in _table()["accuracy"]["schemes"] if s in self.schemes), None)

    @property
    def lstm(self) -> str:
        """ "yes" if the NPU has the LSTM operator, "no" if not. "observed" is added if the manual
        doesn't say."""
        answer = "yes" if self.lstm_npu else "no"
        return answer if self.lstm_manual is not None else f"{answer}, observed"


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("rknn", "targets.toml").read_text("utf-8"))


@functools.cache
def targets() -> dict[str, Target]:
    """Every target that the converter knows, by name. `edge-lstm targets` prints them.

    >>> import edge_lstm_export as ex
    >>> sorted(ex.targets())[:2]
    ['rk2118', 'rk3562']
    """
    return {name: _target(name, row) for name, row in _table()["target"].items()}


def _target(name: str, row: Mapping[str, Any]) -> Target:
    return Target(
        name=name,
        generation=row.get("generation"),
        cores=row.get("cores"),
        tops=row.get("tops"),
        schemes=tuple(row["schemes"]),
        refused=MappingProxyType(row["refused"]),
        verified=tuple(row["verified"]),
        lstm_manual=row.get("lstm_manual"),
        lstm_formats=tuple(row.get("lstm_formats", ())),
        lstm_npu=row["lstm_npu"],
        lstm_float16=tuple(row.get("lstm_float16", ())),
        python=row["python"],
        runtime=row.get("runtime", ""),
        reshape=MappingProxyType(row.get("reshape", {})),
        reshape_inputs=row.get("reshape_inputs", False),
        boards=row.get("boards", ""),
        sources=MappingProxyType({fact: tuple(keys) for fact, keys in row["sources"].items()}),
    )


@functools.cache
def limits() -> Limits:
    return Limits(**{f.name: _table()["limits"][f.name] for f in dataclasses.fields(Limits)})


def schemes() -> dict[str, str]:
    """Every scheme that the converter knows -> its meaning."""
    return dict(_table()["schemes"])


def source(key: str) -> str:
    """The document behind a key of `Target.sources`, such as "operators:3.2.38"."""
    name, _, section = key.partition(":")
    document: str = _table()["sources"][name]
    return f"{document}, section {section}" if section else document


def known(target: str) -> Target:
    """The row of a target. Raises ConfigError if the table has none."""
    if target not in targets():
        hint = did_you_mean(target, targets())
        raise ConfigError(f"target {target!r} is unknown; {hint}known: {', '.join(targets())}")
    return targets()[target]


def default_schemes(target: str) -> tuple[str, ...]:
    """Those of fp16 and w8a8 that the target takes. Raises ConfigError for an unknown target."""
    return tuple(scheme for scheme in ("fp16", "w8a8") if scheme in known(target).schemes)


def find(target: str, scheme: str) -> Target:
    """The row of a target that takes the scheme.

    Raises ConfigError for an unknown target, and if the target doesn't take the scheme. The error
    gives the reason if the table has one.
    """
    row = known(target)
    if scheme not in row.schemes:
        reason = row.refused.get(scheme)
        raise ConfigError(
            f"scheme {scheme!r} is not offered for {target}; "
            f"{did_you_mean(scheme, row.schemes)}expected one of {', '.join(row.schemes)}"
            + (f" ({scheme} on {target}: {reason})" if reason else "")
        )
    return row
