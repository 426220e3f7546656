"""Configurations that are tuned and measured (docs/recipes.md), named `recipe:NAME` where a configuration's path is expected."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from edge_lstm_runtime.errors import ConfigError, DataError

PREFIX = "recipe:"
FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Recipe:
    """about: the file's first line; data: what it needs, in words; missing: why the data can't be read, empty when it is there."""

    name: str
    path: Path
    about: str
    data: str
    missing: str


def recipe_path(path: str | Path) -> Path:
    """`recipe:NAME` as the packaged file, any other path as it is. Raises ConfigError for a recipe that there is not."""
    text = os.fspath(path)
    if not text.startswith(PREFIX):
        return Path(path)
    file = FOLDER / f"{text.removeprefix(PREFIX)}.toml"
    if file not in FOLDER.glob("*.toml"):
        raise ConfigError(
            f"{text}: there is no such recipe; expected one of {', '.join(PREFIX + p.stem for p in sorted(FOLDER.glob('*.toml')))}"
        )
    return file


def recipes() -> list[Recipe]:
    """All there are, by name. Whether the data is there: below the folder in EDGE_LSTM_DATA, or inside an installed package."""
    from ..config.load import load_config
    from ..data.sources.read import DATA_FOLDER, locate

    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        config = load_config(path)
        data, missing = config.data, ""
        files = [
            p for p in (data.path, data.train, data.test, data.rul, data.windows) if p is not None
        ]
        for file in files:
            try:
                locate(file, config.folder)
            except DataError:
                missing = f"{file} is not below {os.environ.get(DATA_FOLDER) or f'the folder in {DATA_FOLDER}, which is not set'}"
                break
        need = ", ".join(files) if files else f"{data.name}, inside the package aeon"
        about = path.read_text("utf-8").splitlines()[0].lstrip("# ").rstrip(".")
        found.append(Recipe(path.stem, path, about, need, missing))
    return found
