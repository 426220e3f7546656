"""A folder of wav files, one recording each, as the frames that the front end makes of them.

Files in subfolders belong to it, and so do files *.WAV. A note tells of other files, and of hidden
and empty ones.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.feeds.sound import read_wav
from edge_lstm_runtime.inputs.front_end import FrontEnd

from ...config.base import Contradiction
from ...config.sections import Asked, SampleSection, Whole
from ..files import locate
from ..folders import files_in, parts_of
from ..recordings import Recording

Folder = Annotated[str, Field(description="the folder with the .wav files")]


class Section(SampleSection):
    """[data] of source "wav".

    path          a folder
    pattern       what the whole of a file's name without .wav looks like, a regular expression. A
                  file in a subfolder has the name "subfolder/file". The part (?P<label>...) is the
                  class, and (?P<group>...), which may be left out, the group (a speaker)
    test_pattern  for the split "given": what the names of the test files look like
    """

    PATHS = ("path",)
    KEPT = True
    NOT_HERE: ClassVar[Mapping[str, str]] = {
        "channels": "the channels of source 'wav' are the front end's; remove it",
        **dict.fromkeys(
            ("train_path", "test_path"),
            "source 'wav' has one folder, `path`, and `test_pattern` for its test files; remove it",
        ),
    }
    needs_front_end = True

    path: Folder
    pattern: str | None = None
    test_pattern: str | None = None

    def read(self, asked: Asked) -> list[Recording]:
        """By name. A file that `pattern` doesn't match raises DataError: no data is lost unseen."""
        return list(self.each(asked))

    def each(self, asked: Asked) -> Iterator[Recording]:
        assert asked.front_end is not None  # load_config sees to it
        files = files_in(locate(self.path, asked.folder), self.endings)
        notes = tuple(filter(None, [files.note]))
        for path, name in files.found:
            recording = self._recording(path, name, asked.front_end)
            yield dataclasses.replace(recording, notes=notes)
            notes = ()

    @property
    def endings(self) -> tuple[str, ...]:
        return (".wav",)

    def inputs(self, asked: Asked, width: int) -> tuple[str, ...]:  # noqa: ARG002
        assert asked.front_end is not None
        return asked.front_end.names

    def _recording(self, path: Path, name: str, front_end: FrontEnd) -> Recording:
        parts = parts_of(self.pattern, name, path)
        x = front_end.frames(read_wav(path, front_end.sample_rate))
        if not len(x):
            short = f"is shorter than a frame ({front_end.frame_length} samples)"
            raise DataError(f"{path}: {short}; remove it, or lower frame_length")
        part = None
        if self.test_pattern is not None:
            part = "test" if re.fullmatch(self.test_pattern, name) else "train"
        label = parts.get("label")
        labels = np.full(len(x), label) if label is not None else None
        return Recording(name, parts.get("group") or name, x, labels, part)

    def rules(self, config: Whole) -> Iterator[Contradiction]:
        compiled = {}
        for key in ("pattern", "test_pattern"):
            try:
                compiled[key] = re.compile(getattr(self, key) or "")
            except re.error as e:
                yield ("data", key), f"is no regular expression: {e}"
        labels = "pattern" not in compiled or "label" in compiled["pattern"].groupindex
        if config.model.needs_labels and not labels:
            expected = "expected a regular expression for the files' names with a part"
            task = f"for task {config.model.task!r}"
            yield ("data", "pattern"), f"{expected} (?P<label>...), {task}"
        if (self.split.by == "given") != (self.test_pattern is not None):
            goes = "goes with split by 'given' of source 'wav'"
            yield ("data", "test_pattern"), f"{goes}, and by is {self.split.by!r}"
        yield from super().rules(config)
