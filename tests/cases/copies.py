"""A configuration over three copies of one file: a split that needs no rows of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_lstm.config.load import load_config
from edge_lstm.config.schema import Config

CONFIG = """
[data]
source = "{source}"
path = ["1.{source}", "2.{source}", "3.{source}"]
channels = {channels}
{keys}

[data.split]
by = "group"
val = ["2{case}"]
test = ["3{case}"]

[model]
{task}
hidden_size = 2

[train]
epochs = 1
"""


def configured(
    folder: Path,
    source: str,
    content: bytes,
    channels: Sequence[str],
    keys: Mapping[str, Any],
    task: Mapping[str, Any],
) -> Config:
    """content: of the file. keys: of [data]. task: of [model]."""
    for k in "123":
        (folder / f"{k}.{source}").write_bytes(content)
    text = CONFIG.format(
        source=source,
        channels=json.dumps(channels),
        keys=_lines(keys),
        case=":0" if source == "npz" else "",
        task=_lines(task),
    )
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return load_config(folder / "config.toml")


def _lines(keys: Mapping[str, Any]) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
