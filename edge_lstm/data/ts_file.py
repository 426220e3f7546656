"""Files of the UCR/UEA archive, .ts: a header of @keys, then a case on each line.

A line has the channels, `1,2,3:4,5,6`, and then `:` and the class. A missing value is `?`. The
format is that of Bagnall et al., "The UEA multivariate time series classification archive" (2018).
aeon reads it too, and takes a second to be imported. As there, classes are in lower case.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_lstm_runtime.errors import DataError

from .cases import Cases
from .files import first_line
from .recordings import Float64

MISSING = ("?", "nan")


def read_ts(path: Path) -> Cases:
    """A .ts file. Raises DataError, with the line, if it isn't as the format says."""
    try:
        lines = [line.strip().lower() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as e:
        raise DataError(f"{path}: can't be read as a .ts file: {first_line(e)}") from e
    numbered = [(k, line) for k, line in enumerate(lines, start=1) if line and line[0] != "#"]
    header = {}
    for at, (_, line) in enumerate(numbered):
        key, _, value = line.partition(" ")
        if key == "@data":
            cases = numbered[at + 1 :]
            break
        header[key] = value.strip()
    else:
        raise DataError(f"{path}: the file is empty; expected @data and at least one case")
    if header.get("@timestamps") == "true":
        times = "@timeStamps is true, and times are not taken"
        raise DataError(_unread(path, f"{times}; save the values alone"))
    number = header.get("@targetlabel", "false") == "true"
    labelled = number or not header.get("@classlabel", "true").startswith("false")
    found = []
    labels = []
    for row, text in cases:
        channels = text.split(":")
        if labelled:
            label = channels.pop().strip()
            labels.append("" if label in MISSING else label)
        try:
            found.append(_case(channels))
            if number:
                labels[-1] = str(float(labels[-1]))
        except ValueError as e:
            raise DataError(_unread(path, f"line {row}: {first_line(e)}")) from e
    return Cases(found, labels if labelled else None)


def _case(channels: list[str]) -> Float64:
    """(T, C). Raises ValueError."""
    values = [
        [np.nan if text.strip() in MISSING else float(text) for text in channel.split(",")]
        for channel in channels
    ]
    if len(lengths := {len(channel) for channel in values}) != 1:
        raise ValueError(f"the channels have {sorted(lengths)} values; expected as many in each")
    return np.array(values, np.float64).T


def _unread(path: Path, why: str) -> str:
    return f"{path}: can't be read as a .ts file: {why}"
