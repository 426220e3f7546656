"""What a source finds at a place, and the recordings that it then reads."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConfigError

from ..config.common import FrontEndConfig
from ..config.schema import frozen
from ..config.sections import Asked, DataSection
from ..data.recordings import Recording
from ..data.sources import SOURCES
from .draft import Draft, Keys, Table
from .place import Place
from .roles import Stated


@dataclasses.dataclass(frozen=True)
class Search:
    """Where to look, and what the user says."""

    place: Place
    stated: Stated


@dataclasses.dataclass(frozen=True)
class Finding:
    """source   the name
    data     keys of [data], but for those that the task decides
    files    that it reads. Of several sources that with the most files is taken
    rank     of sources that read as many files, the one with the highest
    remarks  lines for the top of [data]
    tables   further sections that reading needs
    target   a column that looks like the answer of a regression, with the reason
    known    the channels that a calendar tells beforehand
    step     seconds from row to row, None if there is no time. dated: since 1970
    answers  the columns that the user wants as answers, if they are no inputs
    """

    source: str
    data: Keys
    files: int
    rank: int = 0
    remarks: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    target: tuple[str, str] | None = None
    known: tuple[str, ...] = ()
    step: float | None = None
    dated: bool = False

    @property
    def given(self) -> bool:
        """Whether the files themselves say what is for the test."""
        return "test_path" in self.data or "test_pattern" in self.data


@dataclasses.dataclass(frozen=True)
class Facts:
    """What was read. channels: the names of the inputs."""

    finding: Finding
    stated: Stated
    recordings: list[Recording]
    channels: tuple[str, ...]
    section: type[DataSection]

    @property
    def labelled(self) -> bool:
        return all(r.labels is not None for r in self.recordings)

    @property
    def changing(self) -> bool:
        """Whether the class changes inside of a recording."""
        return any(
            r.labels is not None and bool((r.labels[1:] != r.labels[:-1]).any())
            for r in self.recordings
        )

    @property
    def unlabelled_rows(self) -> int:
        return sum(int((r.labels == "").sum()) for r in self.recordings if r.labels is not None)

    @property
    def groups_of_classes(self) -> Counter[str]:
        """In how many groups each class is."""
        pairs = {
            (str(name), r.group)
            for r in self.recordings
            if r.labels is not None
            for name in np.unique(r.labels)
            if name
        }
        return Counter(name for name, _ in pairs)

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(r.group for r in self.recordings))

    @property
    def rows(self) -> int:
        return sum(len(r.x) for r in self.recordings)

    @property
    def usual_length(self) -> int:
        return int(np.median([len(r.x) for r in self.recordings]))

    @property
    def shortest(self) -> int:
        return min(len(r.x) for r in self.recordings)

    @property
    def longest(self) -> int:
        return max(len(r.x) for r in self.recordings)


def read(search: Search, finding: Finding) -> Facts:
    """By the source itself, as training reads. Raises DataError, and ConfigError."""
    values = Draft((Table("data", finding.data), *finding.tables)).values()
    by = "given" if finding.given else "time"
    data: dict[str, Any] = {**values["data"], "source": finding.source, "split": {"by": by}}
    if "window" in SOURCES.load(finding.source).Section.model_fields:
        data.setdefault("window", 1)
    data.pop("transforms", None)
    section: DataSection = SOURCES.load(finding.source).Section.model_validate(frozen(data))
    front_end = None
    if "front_end" in values:
        front_end = FrontEndConfig.model_validate(values["front_end"]).front_end()
    targets = (finding.target[0],) if finding.target and not search.stated.targets else ()
    asked = Asked(str(search.place.beside), targets, front_end, unlabelled=True)
    section.check(asked)
    recordings = section.read(asked)
    if not recordings:
        raise ConfigError(f"{search.place.path}: no recording was found")
    channels = section.inputs(asked, recordings[0].x.shape[1])
    return Facts(finding, search.stated, recordings, channels, type(section))
