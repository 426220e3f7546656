"""Configurations that are tuned and measured (docs/recipes.md).

`recipe:NAME` stands for the path of one of them.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.near import did_you_mean

PREFIX = "recipe:"
FOLDER = Path(__file__).parent


def recipe_path(path: str | Path) -> Path:
    """`recipe:NAME` as the packaged file, any other path as it is.

    Raises ConfigError for a recipe that doesn't exist.
    """
    text = os.fspath(path)
    if not text.startswith(PREFIX):
        return Path(path)
    file = FOLDER / f"{text.removeprefix(PREFIX)}.toml"
    known = sorted(FOLDER.glob("*.toml"))
    if file not in known:
        names = ", ".join(PREFIX + recipe.stem for recipe in known)
        hint = did_you_mean(file.stem, [recipe.stem for recipe in known])
        raise ConfigError(f"{text}: there is no such recipe; {hint}expected one of {names}")
    return file
