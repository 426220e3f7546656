"""Where the data is: from a configuration to recordings."""

from __future__ import annotations

import os
from pathlib import Path

from edge_lstm_runtime.errors import DataError

from ...config.schema import Config
from .. import known_anomalies
from ..recordings import Recording
from . import cases, cmapss, tables, text, wavs

DATA_FOLDER = "EDGE_LSTM_DATA"


def locate(path: str, folder: str) -> Path:
    """A path of the configuration: absolute, or below the configuration's folder, or below $EDGE_LSTM_DATA."""
    shared = os.environ.get(DATA_FOLDER)
    tried = [Path(folder) / path] + ([Path(shared) / path] if shared else [])
    for candidate in tried:
        if candidate.exists():
            return candidate
    hint = "correct the path in [data]"
    if not Path(path).is_absolute():
        hint += f", or set {DATA_FOLDER} to the folder that holds it ({'it is ' + shared if shared else 'it is not set'})"
    raise DataError(
        f"{path}: there is no such file or folder; looked for {' and '.join(dict.fromkeys(map(str, tried)))}; {hint}"
    )


def recordings(config: Config) -> list[Recording]:
    data = config.data
    if data.source == "aeon":
        return cases.read_aeon(data)
    if data.source == "cmapss":
        files = [
            locate(path, config.folder)
            for path in (data.train, data.test, data.rul)
            if path is not None
        ]  # load_config sees to it
        return cmapss.read(files, data)
    if data.source == "wav":
        assert data.path is not None
        assert config.front_end is not None
        return wavs.read(locate(data.path, config.folder), data, config.front_end.front_end())
    read = {
        "csv": tables.read,
        "parquet": tables.read,
        "ts": cases.read_ts,
        "npz": cases.read_npz,
        "text": text.read,
    }[data.source]
    found: list[Recording] = []
    for path, part in ((data.path, None), (data.train, "train"), (data.test, "test")):
        if path is not None:
            file = locate(path, config.folder)
            if file.is_dir() and read is not tables.read:
                raise DataError(f"{file}: is a folder; expected a {data.source} file")
            found += read(file, data, part)
    if data.windows is None:
        return found
    return known_anomalies.marked(found, locate(data.windows, config.folder))
