"""The recipes, and whether their data is there."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from edge_lstm_runtime.errors import DataError

from ..config.load import load_config
from ..data.files import DATA_FOLDER, locate
from . import FOLDER


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A packaged configuration.

    about: the file's first line. data: the data that it needs, in words.
    missing: why the data can't be read, empty if it is there.
    """

    name: str
    path: Path
    about: str
    data: str
    missing: str


def recipes() -> list[Recipe]:
    """All recipes, by name.

    Their data is looked for below the folder in EDGE_LSTM_DATA, or inside an installed package.
    """
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        config = load_config(path)
        missing = ""
        for file in config.data.paths:
            try:
                locate(file, config.folder)
            except DataError:
                unset = f"the folder in {DATA_FOLDER}, which is not set"
                missing = f"{file} is not below {os.environ.get(DATA_FOLDER) or unset}"
                break
        about = path.read_text("utf-8").splitlines()[0].lstrip("# ").rstrip(".")
        found.append(Recipe(path.stem, path, about, config.data.needs, missing))
    return found
