"""The table of targets, targets.toml."""

from __future__ import annotations

import dataclasses
import functools
import sys
from importlib.resources import files

from edge_lstm_runtime import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclasses.dataclass(frozen=True)
class Target:
    name: str
    family: str
    cores: int
    schemes: tuple[str, ...]
    verified: tuple[str, ...]
    boards: str


@functools.cache
def targets() -> dict[str, Target]:
    table = tomllib.loads(files(__package__).joinpath("targets.toml").read_text("utf-8"))
    return {
        name: Target(name, row["family"], row["cores"], tuple(row["schemes"]), tuple(row["verified"]), row["boards"])
        for name, row in table.items()
    }


def default_schemes(target: str) -> tuple[str, ...]:
    """Those of fp16 and w8a8 that the target takes. Raises ConfigError for an unknown target."""
    if target not in targets():
        raise ConfigError(f"target {target!r} is unknown; known: {', '.join(targets())}")
    return tuple(scheme for scheme in ("fp16", "w8a8") if scheme in targets()[target].schemes)


def find(target: str, scheme: str) -> Target:
    """The row of a target that takes the scheme. Raises ConfigError."""
    if target not in targets():
        raise ConfigError(f"target {target!r} is unknown; known: {', '.join(targets())}")
    row = targets()[target]
    if scheme not in row.schemes:
        raise ConfigError(f"scheme {scheme!r} is not offered for {target}; expected one of {', '.join(row.schemes)}")
    return row
