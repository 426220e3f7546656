"""The files at the place that the user names."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

from edge_lstm_runtime.errors import DataError

from ..data.folders import inside

PACKED = ".gz"


class File(NamedTuple):
    """name: the path below the folder, with /, without the ending. ending: in lower case."""

    path: Path
    name: str
    ending: str

    @property
    def written(self) -> str:
        """The ending as it is written."""
        return self.path.name[len(self.path.name) - len(self.ending) :]


@dataclasses.dataclass(frozen=True)
class Place:
    """path: a file or a folder. files: all that are neither hidden nor empty, by name.

    beside: the folder of the configuration.
    """

    path: Path
    files: tuple[File, ...]
    beside: Path

    def of(self, endings: tuple[str, ...]) -> list[File]:
        return [file for file in self.files if file.ending in endings]

    @property
    def whole(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    def shown(self, path: Path) -> str:
        """As it stands in the configuration: relative if it is below its folder."""
        real = Path(os.path.abspath(path))  # noqa: PTH100 (a link stays a link)
        beside = Path(os.path.abspath(self.beside))  # noqa: PTH100
        return (real.relative_to(beside) if real.is_relative_to(beside) else real).as_posix()

    @property
    def name(self) -> str:
        return self.path.resolve().name


def place_at(path: Path, beside: Path) -> Place:
    """Raises DataError if there is nothing to read."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; expected the data")
    found = [_file(p, path) for p in (inside(path) if path.is_dir() else [path])]
    files = tuple(file for file in found if _readable(file.path))
    if not files:
        what = "the folder has no file with data" if path.is_dir() else "the file is empty"
        raise DataError(f"{path}: {what}; expected recordings")
    return Place(path, files, beside)


def _file(path: Path, folder: Path) -> File:
    name = path.name if path == folder else path.relative_to(folder).as_posix()
    suffixes = path.suffixes[-2:] if path.suffix.lower() == PACKED else path.suffixes[-1:]
    ending = "".join(suffixes)
    return File(path, name[: len(name) - len(ending)], ending.lower())


def _readable(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.stat().st_size > 0
