"""Every case of folders, with every ending: read, refused in one line, or told in a note."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cases.folders import CASES, ENDINGS, Folder
from cases.sounds import Sound
from edge_lstm.config.load import load_config
from edge_lstm.config.schema import Config
from edge_lstm_runtime.errors import DataError

CONFIG = """
[data]
source = "{source}"
path = "data"
{keys}

[data.split]
by = "group"
val = 0.2
test = 0.2

[model]
task = "{task}"
hidden_size = 2
{answers}

[train]
epochs = 1
"""
TARGETS = 'targets = ["a"]\nhorizon = 1'
FRONT_END = """
[front_end]
kind = "log-mel"
sample_rate = 8000
frame_length = 200
hop_length = 80
"""
TEXT = b"a,b\n1,2\n3,4\n"
TAKEN = [(case, ending) for case in CASES for ending in ENDINGS if ending not in case.not_in]


def content(ending: str) -> bytes:
    if ending == "wav":
        return Sound("", 1000, 0, 0).content("plain")
    if ending == "parquet":
        file = io.BytesIO()
        pl.DataFrame({"a": [1, 3], "b": [2, 4]}).write_parquet(file)
        return file.getvalue()
    return gzip.compress(TEXT) if ending == "csv.gz" else TEXT


def configured(folder: Path, case: Folder, ending: str) -> Config:
    source = ENDINGS[ending]
    keys: dict[str, object] = {} if source == "wav" else {"channels": ["a", "b"]}
    pattern = case.pattern or ("(?P<label>.*)" if source == "wav" else "")
    if pattern:
        keys["pattern"] = pattern
    text = CONFIG.format(
        source=source,
        keys="\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items()),
        task="classify" if pattern else "forecast",
        answers="" if pattern else TARGETS,
    )
    text += FRONT_END if source == "wav" else ""
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return load_config(folder / "config.toml")


@pytest.mark.parametrize(("case", "ending"), TAKEN, ids=[f"{c.name}-{e}" for c, e in TAKEN])
def test_a_case(tmp_path: Path, case: Folder, ending: str) -> None:
    (tmp_path / "data").mkdir()
    for name in case.files:
        path = tmp_path / "data" / name.replace("{}", ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        other = b"" if "empty" in name else b"a note\n"
        path.write_bytes(content(ending) if name.endswith("{}") and other else other)
    config = configured(tmp_path, case, ending)
    if isinstance(case.reads, str):
        with pytest.raises(DataError) as refused:
            config.data.read(config.asked)
        assert case.reads in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1
        return
    found = sorted(config.data.read(config.asked), key=lambda recording: recording.name)
    assert [r.name for r in found] == list(case.reads)
    notes = " ".join(note for r in found for note in r.notes)
    assert case.note in notes if case.note else not notes
    if case.labels:
        assert [np.unique(r.labels).tolist() for r in found] == [[name] for name in case.labels]
        assert [r.group for r in found] == list(case.groups)
