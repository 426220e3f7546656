"""Data sets that ship inside the package aeon. Nothing is downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import Field

from edge_lstm_runtime.errors import DataError, MissingDependencyError
from edge_lstm_runtime.near import did_you_mean

from ...config.sections import Asked
from ..cases import CaseSection
from ..recordings import Recording
from ..ts_file import read_ts


def _folder() -> Path:
    """Of aeon.datasets, which is not imported: that takes seconds."""
    found = find_spec("aeon")
    if found is None or found.origin is None:
        raise MissingDependencyError("aeon", "train")
    return Path(found.origin).parent / "datasets"


Name = Annotated[str, Field(description="the name of a data set inside aeon, as 'BasicMotions'")]


class Section(CaseSection):
    """[data] of source "aeon".

    name  of the data set. Its training and its test part are read
    """

    NOT_HERE = dict.fromkeys(
        ("path", "train_path", "test_path"), "source 'aeon' has a name and no path; remove it"
    )

    name: Name

    @property
    def needs(self) -> str:
        return f"{self.name}, inside the package aeon"

    def read(self, asked: Asked) -> list[Recording]:  # noqa: ARG002
        folder = _folder() / "data"
        files = {
            part: folder / self.name / f"{self.name}_{part.upper()}.ts"
            for part in ("train", "test")
        }
        if not all(file.is_file() for file in files.values()):
            training = folder.glob("*/*_TRAIN.ts")
            whole = [file.parent for file in training if list(file.parent.glob("*_TEST.ts"))]
            names = sorted({folder.name for folder in whole})
            hint = did_you_mean(self.name, names)
            hint += f"expected one of {', '.join(names)}; others: source = 'ts' with a file"
            raise DataError(f"aeon ships no data set {self.name!r}; {hint}")
        found = []
        for part, file in files.items():
            found += self.recordings(file, read_ts(file), part)
        return found
