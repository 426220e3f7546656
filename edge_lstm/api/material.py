"""Data in memory, and the file and the settings with which a run reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.near import did_you_mean

from ..config.base import listed
from ..config.sections import TaskSection
from ..data.in_frames import numeric
from ..data.in_memory import Given
from ..data.recordings import Recording
from ..data.sources import npz, parquet
from ..tasks import TASKS

LONG = 512  # steps of a recording from which training cuts it into windows
WINDOW = 256
GIVEN = ("train", "test")  # the parts that recordings may name
MADE = {"group": parquet.GROUP, "label": parquet.LABEL, "time": parquet.TIME}  # columns
Settings = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Material:
    """source    that reads the files
    task      that fits the data
    settings  keywords of `fit` that follow from the data. Those that were given come before them
    write     writes the files into a folder
    names     of the files
    """

    source: str
    task: str
    settings: Settings
    write: Callable[[Path], None]
    names: tuple[str, ...]


def of_recordings(found: Given, task: str | None, settings: Settings) -> Material:
    """settings: as the caller gave them. Raises ConfigError and DataError."""
    task = task or _fitting(_kind(found, settings))
    section = TASKS.load(task).Section
    if section.needs_labels and found.numbers is not False:
        raise DataError(f"task {task!r} needs y, the class of each recording or of each step")
    if section.FITS == "numbers" and not found.numbers:
        raise DataError(f"task {task!r} needs y, numbers for each recording or for each step")
    channels = _channels(found, settings)
    targets = _targets(found, settings)
    made: Settings = {"channels": channels} | ({"targets": targets} if targets else {})
    lengths = [len(r.x) for r in found.recordings]
    made |= _windows(lengths, section, settings) | _split(found, settings)
    blank = any(r.labels is not None and (r.labels == "").any() for r in found.recordings)
    timed = all(r.time is not None for r in found.recordings)
    parts = {r.part for r in found.recordings}
    if parts not in ({None}, {*GIVEN}):
        raise DataError(
            "the `part` of some recordings is given; expected 'train' or 'test' for all"
        )
    if not (targets and found.numbers) and not blank and not timed:
        return _as_npz(found, task, made, given_parts=parts == {*GIVEN})
    _refuse_groups(found, parts, settings)
    of = targets if found.numbers else ()
    there = {"group": True, "label": found.numbers is False, "time": timed}
    columns = {key: name for key, name in MADE.items() if there[key]}
    if clash := [name for name in columns.values() if name in (*channels, *of)]:
        raise ConfigError(f"{clash[0]!r} is no name for a channel or a target here; rename it")
    made |= columns

    def write(folder: Path) -> None:
        parquet.keep(folder / "data.parquet", found.recordings, channels, of)

    made["data.path"] = "data.parquet"
    return Material(parquet.NAME, task, made, write, ("data.parquet",))


def _refuse_groups(found: Given, parts: set[str | None], settings: Settings) -> None:
    """A table has a name for each recording, and none for the person that several are of."""
    why = "if their answers are numbers, or if they have times or steps without a class"
    instead = 'name the recordings ("0", "1", ...) of each split: val=[...], test=[...]'
    if parts == {*GIVEN}:
        raise DataError(f"recordings can't have a `part` {why}; {instead}")
    named = all(isinstance(settings.get(key), list | tuple) for key in ("val", "test"))
    if len({r.group for r in found.recordings}) < len(found.recordings) and not named:
        raise DataError(f"groups of several recordings can't be kept together {why}; {instead}")


def _as_npz(found: Given, task: str, made: Settings, *, given_parts: bool) -> Material:
    files: dict[str, list[Recording]] = {"data.npz": found.recordings}
    paths = {"data.path": "data.npz"}
    if given_parts:
        files = {f"{p}.npz": [r for r in found.recordings if r.part == p] for p in GIVEN}
        paths = {f"data.{p}_path": f"{p}.npz" for p in GIVEN}
        made = {**made, "by": "given"}
        made.pop("stratify", None)

    def write(folder: Path) -> None:
        for name, recordings in files.items():
            npz.keep(folder / name, recordings)

    return Material(npz.NAME, task, {**made, **paths}, write, tuple(files))


def of_frame(frame: Any, task: str | None, settings: Settings) -> Material:
    """frame: of polars. Raises ConfigError."""
    label = settings.get("label")
    group = settings.get("group")
    targets = settings.get("targets", ())
    task = task or _fitting(_kind_of_frame(frame, label, group, targets, settings))
    section = TASKS.load(task).Section
    others = {*filter(None, (label, group)), *listed(settings.get("time"))}
    if section.FITS == "numbers":
        others |= {*targets}
    channels = [name for name in numeric(frame) if name not in others]
    channels = settings.get("channels", channels)
    used = dict.fromkeys((*listed(channels), *targets, *others))
    _check_columns(used, frame.columns)
    made: Settings = {"channels": tuple(channels), "data.path": "data.parquet"}
    made["by"] = "time" if group is None else "group"
    lengths = [len(frame)]
    if group is not None:
        lengths = frame.get_column(group).value_counts(sort=False)["count"].to_list()
    made |= _windows(lengths, section, settings)

    def write(folder: Path) -> None:
        parquet.keep_frame(folder / "data.parquet", frame.select(list(used)))

    return Material(parquet.NAME, task, made, write, ("data.parquet",))


def _check_columns(used: Iterable[str], columns: list[str]) -> None:
    for name in used:
        if name not in columns:
            meant = did_you_mean(name, columns)
            named = ", ".join(columns)
            raise DataError(f"the frame has no column {name!r}; {meant}the columns are {named}")


def _kind_of_frame(
    frame: Any, label: str | None, group: str | None, targets: Any, settings: Settings
) -> str:
    if "horizon" in settings:
        return "next"
    if targets:
        return "numbers"
    if label is None or label not in frame.columns or group not in frame.columns:
        return "" if label is None else "classes"
    per = frame.select(group, label).unique().get_column(group)
    return "class" if per.n_unique() == len(per) else "classes"


def _kind(found: Given, settings: Settings) -> str:
    if found.numbers is None:
        return "next" if "horizon" in settings else ""
    if found.numbers:
        return "numbers"
    return "classes" if found.per_step else "class"


def _fitting(kind: str) -> str:
    """The task that fits such data. Raises ConfigError if there is none."""
    fitting = [name for name in TASKS.names() if kind and kind == TASKS.load(name).Section.FITS]
    if not fitting:
        raise ConfigError(
            "fit: nothing says what the model is to answer; give y, or the name of a column by "
            "`label` or `target`, or the steps ahead by `horizon`, or `task`"
        )
    return fitting[0]


def _channels(found: Given, settings: Settings) -> tuple[str, ...]:
    width = found.recordings[0].x.shape[1]
    named = settings.get("channels", [f"channel_{k}" for k in range(width)])
    channels = tuple(map(str, named))
    if isinstance(named, str) or len(channels) != width:
        raise ConfigError(
            f"fit(channels=...): names {named!r}, and the recordings have {width} channels; "
            "expected a name for each"
        )
    return channels


def _targets(found: Given, settings: Settings) -> tuple[str, ...]:
    """The names of the answers, () if the task finds them itself."""
    named = tuple(settings.get("targets", ()))
    if not found.numbers:
        return named
    y = found.recordings[0].y
    assert y is not None
    count = y.shape[1]
    if named and len(named) != count:
        raise ConfigError(f"fit(target=...): names {len(named)} answers, and y has {count}")
    return named or (("y",) if count == 1 else tuple(f"y{k}" for k in range(count)))


def _split(found: Given, settings: Settings) -> Settings:
    """One recording is cut by time. Of several, whole ones are held out, by class if possible."""
    if len(found.recordings) == 1 or settings.get("by") == "time":
        return {"by": "time"}
    lists = any(isinstance(settings.get(key), list | tuple) for key in ("val", "test"))
    labelled = found.numbers is False and not lists
    return {"by": "group"} | ({"stratify": True} if labelled else {})


def _windows(
    lengths: list[int], section: type[TaskSection], settings: Mapping[str, Any]
) -> Settings:
    """Long recordings are cut: without windows, a recording of days would be one step of training.

    Not for a network that reads both ways, whose answer is of the whole recording.
    """
    if "window" in settings or not lengths or max(lengths) <= LONG:
        return {}
    if settings.get("bidirectional") or (section.reads_whole_sequences and "layers" in settings):
        return {}
    farthest = int(np.max(settings.get("horizon", 0)))
    window = max(WINDOW, 4 * farthest)
    return {"window": window, "stride": window // 4} | (
        {"short": "pad"} if min(lengths) < 2 * window else {}
    )
