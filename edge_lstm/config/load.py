"""A TOML file or a recipe -> a checked configuration."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from edge_lstm_runtime import kinds
from edge_lstm_runtime.errors import ConfigError

from ..recipes import recipe_path
from .errors import Problem
from .schema import Config, frozen

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read and check a configuration.

    path: a TOML file, or "recipe:NAME" for one that is packaged.
    overrides: values that take the place of the file's, such as {"train.epochs": 3}.
    Raises ConfigError: one line with the file's line, the key, its value and what was expected.

    >>> import edge_lstm as el
    >>> config = el.load_config("mine.toml", {"train.epochs": 3})
    >>> config.train.epochs
    3
    >>> el.load_config("recipe:activity").model.hidden_size
    64
    """
    path = recipe_path(path)
    if other := kinds.mistaken(path, kinds.CONFIGURATION):
        raise ConfigError(other)
    expected = "expected a TOML file, or recipe:NAME as in `edge-lstm recipes`"
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows write a byte order mark
    except UnicodeDecodeError as e:
        wrong = f"is not UTF-8 (byte {e.start})"
        raise ConfigError(f"{path}: {wrong}; save it as UTF-8, as TOML has to be") from e
    except OSError as e:
        raise ConfigError(f"{path}: can't be read ({e.strerror or e}); {expected}") from e
    return parsed_config(text, path, overrides)


def parsed_config(text: str, path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """As `load_config`, of a text that is, or will be, in the file `path`."""
    values = _parsed(text, path)
    told = {}
    for dotted, value in (overrides or {}).items():
        _override(values, dotted, value)
        told[tuple(dotted.split("."))] = f"--set {dotted}"
    return _checked(values, Problem(values, told, path, text), path.resolve().parent)


def as_config(config: Config | Mapping[str, Any] | str | Path) -> Config:
    """A configuration as it is, of a file, of a recipe, or of a dict of its sections.

    Raises ConfigError as `load_config` does.
    """
    if isinstance(config, Config):
        return config
    return config_of(config) if isinstance(config, Mapping) else load_config(config)


def config_of(
    values: Mapping[str, Any],
    folder: str | Path = ".",
    told: Mapping[tuple[str, ...], str] | None = None,
) -> Config:
    """A configuration of the values that a TOML file would hold: {"train": {"epochs": 3}, ...}.

    folder: relative paths are looked for there. told: keys -> how a message names them. Raises
    ConfigError: one line with the key, its value and what was expected.
    """
    plain = _plain(values)
    return _checked(plain, Problem(plain, told or {}, None), Path(folder).resolve())


def _plain(value: Any) -> Any:
    """As TOML would give it: NumPy's numbers as Python's, paths as text, arrays as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _checked(values: dict[str, Any], problem: Problem, folder: Path) -> Config:
    """Raises ConfigError."""
    try:
        for key, expected in _odd_numbers(values):
            problem.stop(problem.given(key), expected)
        values = frozen(values)
    except RecursionError as e:  # of dotted keys, which the parser takes at any depth
        raise ConfigError(f"{problem.path or 'configuration'}: it is nested too deeply") from e
    if "folder" in values:
        problem.unknown(("folder",))
    try:
        config = Config.model_validate({**values, "folder": str(folder)})
    except ValidationError as e:
        problem.of_pydantic(e)
    for key, expected in config.rules():
        problem.stop(key, expected)
    return config


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as e:
        raise ConfigError(f"{path}: not valid TOML: it is nested too deeply") from e
    except tomllib.TOMLDecodeError as e:
        place = re.search(r"line (\d+), column (\d+)", str(e))
        line = int(place[1]) if place else text.count("\n") + 1
        where = f"{path}:{line}" + (f":{place[2]}" if place else "")
        hint = ""
        if re.search(r'=.*"[^"]*\\', "".join(text.splitlines()[line - 1 : line])):
            hint = "; in double quotes a backslash begins an escape: write a Windows path in single"
            hint += r" quotes, as 'C:\data\a.csv', or with /"
        raise ConfigError(f"{where}: not valid TOML: {e}{hint}") from e
    except ValueError as e:  # Python's limit of digits
        raise ConfigError(f"{path}: not valid TOML: a whole number is beyond 64 bits") from e


def toml_value(text: str) -> Any:
    """A value in TOML. Any other text stays text, so that quotes can be left out."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text.strip()


def _odd_numbers(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The keys with a NaN, an infinity or more than 64 bits, which no setting takes.

    TOML has the first two, and its parser takes the third. With each: the number expected.
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from (((key, *inner), expected) for inner, expected in _odd_numbers(value))
            continue
        for v in _flat(value):
            if isinstance(v, float) and not math.isfinite(v):
                yield (key,), "expected a finite number"
            if isinstance(v, int) and not -(2**63) <= v < 2**63:
                yield (key,), "expected a whole number of 64 bits"


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, key = dotted.split(".")
    table = values
    expected = "expected SECTION.KEY, such as train.epochs"
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {dotted}: {section!r} is no section; {expected}")
    if not sections or not key:
        raise ConfigError(f"--set {dotted}: {expected}")
    table[key] = value
