"""A TOML file or a recipe -> a checked configuration."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

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
    """
    path = recipe_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        expected = "expected a TOML file, or recipe:NAME as in `edge-lstm recipes`"
        raise ConfigError(f"{path}: can't be read ({e}); {expected}") from e
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        place = re.search(r"line (\d+), column (\d+)", str(e))
        where = f"{path}:{text.count(chr(10)) + 1}"
        if place:
            where = f"{path}:{place[1]}:{place[2]}"
        raise ConfigError(f"{where}: not valid TOML: {e}") from e
    set_keys = []
    for dotted, value in (overrides or {}).items():
        _override(values, dotted, value)
        set_keys.append(tuple(dotted.split(".")))
    problem = Problem(path, text, values, set_keys)
    values = frozen(values)
    if "folder" in values:
        problem.unknown(("folder",))
    try:
        config = Config.model_validate({**values, "folder": str(path.resolve().parent)})
    except ValidationError as e:
        problem.of_pydantic(e)
    for key, expected in config.rules():
        problem.stop(key, expected)
    return config


def toml_value(text: str) -> Any:
    """A value in TOML. Any other text stays text, so that quotes can be left out."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


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
