"""Sources that read files, and the places of the files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from edge_lstm_runtime.errors import DataError

from ..config.base import Contradiction, Names, listed
from ..config.sections import Asked, DataSection, Whole

Paths = Annotated[str | Names, Field(description="a path, or a list of paths")]
DATA_FOLDER = "EDGE_LSTM_DATA"


def locate(path: str, folder: str) -> Path:
    """A path of the configuration: absolute, below its folder, or below $EDGE_LSTM_DATA.

    Raises DataError if there is no such file or folder.
    """
    shared = os.environ.get(DATA_FOLDER)
    tried = [Path(folder) / path] + ([Path(shared) / path] if shared else [])
    for candidate in tried:
        if candidate.exists():
            return candidate
    hint = "correct the path in [data]"
    if not Path(path).is_absolute():
        known = f"it is {shared}" if shared else "it is not set"
        hint += f", or set {DATA_FOLDER} to the folder that holds it ({known})"
    places = " and ".join(dict.fromkeys(map(str, tried)))
    raise DataError(f"{path}: there is no such file or folder; looked for {places}; {hint}")


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class FileSection(DataSection):
    """[data] of the sources that read one file, or one for training and one for the test.

    path                   a file, or a list of files
    train_path, test_path  instead of `path`, for the split "given"

    FOLDERS  whether a folder can stand in a file's place
    """

    PATHS: ClassVar[tuple[str, ...]] = ("path", "train_path", "test_path")
    FOLDERS: ClassVar[bool] = False

    path: Paths | None = None
    train_path: Paths | None = None
    test_path: Paths | None = None

    def files(self, folder: str) -> Iterator[tuple[Path, str | None]]:
        """Each file with its part: "train" or "test", or None if the split has to be made."""
        found = ((self.path, None), (self.train_path, "train"), (self.test_path, "test"))
        for paths, part in found:
            for path in listed(paths):
                file = locate(path, folder)
                if file.is_dir() and not self.FOLDERS:
                    raise DataError(f"{file}: is a folder; expected a {self.source} file")
                yield file, part

    def check(self, asked: Asked) -> None:
        super().check(asked)
        list(self.files(asked.folder))  # are they there

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        by = self.split.by
        both = "split by 'given' needs both `train_path` and `test_path`"
        if by == "given":
            if self.train_path is None or self.test_path is None:
                missing = "test_path" if self.train_path else "train_path"
                yield ("data", missing), f"expected a path: {both}"
            if self.path is not None:
                yield ("data", "path"), f"{both}; remove it"
        elif self.path is None or self.train_path is not None or self.test_path is not None:
            wrong = (
                "path" if self.path is None else "train_path" if self.train_path else "test_path"
            )
            yield ("data", wrong), f"expected `path` alone for split by {by!r}"
        yield from super().rules(config)
