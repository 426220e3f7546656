"""Files of the UCR/UEA archive, .ts."""

from __future__ import annotations

from ...config.sections import Asked
from ..cases import CaseSection
from ..files import FileSection
from ..recordings import Recording
from ..ts_file import read_ts


class Section(FileSection, CaseSection):
    """[data] of source "ts"."""

    def read(self, asked: Asked) -> list[Recording]:
        found = []
        for path, part in self.files(asked.folder):
            found += self.recordings(path, read_ts(path), part)
        return found
