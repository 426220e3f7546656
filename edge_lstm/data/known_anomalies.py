"""The known anomalies of recordings: a JSON file of time windows.

The format is that of the Numenta Anomaly Benchmark:

    {"FILE": [["2013-12-10 06:25:00", "2013-12-12 05:35:00"], ...], ...}

FILE is a data file's path, relative to the JSON file. A time is a datetime or a number, as in the
data's time column, or a datetime in ISO 8601 in its zone. Both ends belong to a window. A file
without anomalies has an empty list.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from edge_lstm_runtime.errors import DataError, SampleError
from edge_lstm_runtime.inputs.times import Times

from .recordings import Recording

Window = tuple[float, float]


def marked(recordings: list[Recording], file: Path) -> list[Recording]:
    """The recordings with `anomalous` set.

    Raises DataError if the file can't be used, or has no entry for a recording's file.
    """
    try:
        contents = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise DataError(
            f"{file}: can't be read as JSON: {e}; expected {{FILE: [[start, end], ...]}}"
        ) from e
    found = []
    for recording in recordings:
        assert recording.time is not None
        anomalous = np.zeros(len(recording.time), bool)
        for start, end in _windows(contents, recording, file):
            anomalous |= (recording.time >= start) & (recording.time <= end)
        found.append(dataclasses.replace(recording, anomalous=anomalous))
    return found


def _windows(contents: Any, recording: Recording, file: Path) -> list[Window]:
    assert recording.file is not None
    name = Path(os.path.relpath(recording.file.resolve(), file.resolve().parent)).as_posix()
    if not isinstance(contents, dict) or name not in contents:
        known = (
            ", ".join(list(contents)[:5]) if isinstance(contents, dict) else type(contents).__name__
        )
        raise DataError(
            f"{file}: has no windows for {name!r} (it has {known}); "
            "expected a list of them, empty if there is no anomaly"
        )
    windows = contents[name]
    if not isinstance(windows, list) or not all(
        isinstance(w, list) and len(w) == 2 for w in windows
    ):
        raise DataError(
            f"{file}: the windows of {name!r} are {windows!r}; expected [[start, end], ...]"
        )
    times = recording.form.times
    try:
        found = [(_seconds(start, times), _seconds(end, times)) for start, end in windows]
    except SampleError as e:
        raise DataError(f"{file}: the windows of {name!r}: {e}") from e
    for (start, end), window in zip(found, windows, strict=True):
        if end < start:
            raise DataError(
                f"{file}: a window of {name!r} ends before it starts: {window}; exchange the two"
            )
    return found


def _seconds(moment: Any, times: Times) -> float:
    """As the recording's times are counted. Raises SampleError."""
    try:
        return times.seconds(moment, "time")
    except SampleError:
        return dataclasses.replace(times, format="").seconds(moment, "time")
