"""A folder of wav files, one recording each, as the frames that the front end makes of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.feeds.sound import read_wav
from edge_lstm_runtime.inputs.front_end import FrontEnd

from ...config.schema import DataConfig
from ..recordings import Recording


def read(folder: Path, data: DataConfig, front_end: FrontEnd) -> list[Recording]:
    """The recordings of `folder`, by name; a file that `pattern` doesn't match raises DataError, as nobody should lose data unseen."""
    files = sorted(folder.glob("*.wav")) if folder.is_dir() else []
    if not files:
        raise DataError(
            f"{folder}: there is no .wav file in it; expected a folder with one for each recording"
        )
    recordings = []
    for path in files:
        name = path.stem
        match = re.fullmatch(data.pattern, name) if data.pattern is not None else None
        if data.pattern is not None and match is None:
            raise DataError(
                f"{path}: the name doesn't look like `pattern` in [data], {data.pattern!r}; correct it, or move the file away"
            )
        parts = match.groupdict() if match else {}
        x = front_end.frames(read_wav(path, front_end.sample_rate))
        if not len(x):
            raise DataError(
                f"{path}: is shorter than a frame ({front_end.frame_length} samples); remove it, or lower frame_length"
            )
        part = None
        if data.test_pattern is not None:
            part = "test" if re.fullmatch(data.test_pattern, name) else "train"
        labels = np.full(len(x), parts["label"]) if parts.get("label") is not None else None
        recordings.append(Recording(name, parts.get("group") or name, x, labels, part))
    return recordings
