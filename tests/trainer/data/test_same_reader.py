"""Whatever file training accepts, a board reads to the same samples and features, row by row."""

from __future__ import annotations

import dataclasses
import datetime
import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_lstm.config.load import load_config
from edge_lstm.config.schema import Config
from edge_lstm.data.load import load_data
from edge_lstm.data.read_text import read_table
from edge_lstm.data.statistics import make_spec
from edge_lstm.data.table import Wanted
from edge_lstm_runtime.backends.reference import Reference
from edge_lstm_runtime.cli._shared import text_blocks
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.feeds.lines import answers, recordings
from edge_lstm_runtime.inputs.text import TextForm
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.session import Session
from tests.helpers.generated import PROPERTY
from tests.helpers.weights import random_weights

ROWS = 24
EXAMPLES = int(os.environ.get("EDGE_LSTM_FILES", "60"))  # 2,000 for the figure in the docs
CONFIG = """
[data]
source = "csv"
path = {path}
channels = {channels}
{keys}

[data.split]
by = "time"
val = 0.2
test = 0.2

[model]
task = "forecast"
targets = [{target}]
horizon = 1
hidden_size = 3

[train]
epochs = 1
"""
SEPARATORS = [",", ";", "\t", "|", " "]
ENCODINGS = ["", "utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"]
NAMES = ["a", "temp °C", "p/q", "x1", '"q"', "Größe", "na", "_b", "[v]", "0", "{z"]
WORDS = ["", "NA", "n/a", "nan", "NULL", "None", "?", "-", "fehlt", "-200"]
NUMBERS = [repr, "{:.3f}".format, "{:+.5e}".format, "{:g}".format]
DATES = [
    *("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M"),
    *("%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%Y%m%dT%H%M%SZ", "%Y%m%d%H%M"),
    *("ms", "s", "two columns"),
]
NOT_RECOGNIZED = ("%Y%m%d%H%M", "%m/%d/%Y %I:%M %p")


@dataclasses.dataclass
class Written:
    """A file, and the keys of [data] that it needs."""

    channels: list[str]
    keys: dict[str, Any]
    columns: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    content: bytes = b""
    packed: bool = False


@st.composite
def files(draw: st.DrawFn) -> Written:
    separator = draw(st.sampled_from(SEPARATORS))
    decimal = draw(st.sampled_from([".", ","])) if separator != "," else "."
    encoding = draw(st.sampled_from(ENCODINGS))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    if separator == " ":
        names = [name.replace(" ", "_") for name in names]
    file = Written(names, {"separator": separator, "decimal": decimal})
    if encoding not in ("", "utf-8-sig"):  # a byte order mark says it
        file.keys["encoding"] = encoding
    if draw(st.booleans()):
        _add_times(draw, file)
    _add_channels(draw, file)
    if draw(st.booleans()):
        other = draw(st.sampled_from(["note", "größer", "#"]))
        file.columns[other] = draw(
            st.lists(st.sampled_from(["x", "ok", "é"]), min_size=ROWS, max_size=ROWS)
        )
    lines = _lines(draw, file)
    _add_other_lines(draw, file, lines)
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = end.join(lines) + (end if draw(st.booleans()) else "")
    file.content = text.encode(encoding or "utf-8")
    file.packed = draw(st.booleans())
    return file


def _add_times(draw: st.DrawFn, file: Written) -> None:
    start = datetime.datetime(2024, draw(st.sampled_from([1, 12])), 13, 5, 7, 9)
    step = datetime.timedelta(minutes=draw(st.sampled_from([1, 60, 1440])))
    moments = [start + k * step for k in range(ROWS)]
    kind = draw(st.sampled_from(DATES))
    if file.keys["separator"] == " " and " " in kind:
        kind = DATES[0]
    file.keys |= {"time": "when", "dt": True}
    if kind == "two columns":
        file.columns["day"] = [f"{m:%d.%m.%Y}" for m in moments]
        file.columns["clock"] = [f"{m:%H:%M:%S}" for m in moments]
        file.keys["time"] = ["day", "clock"]
    elif kind in ("ms", "s"):
        unit = {"ms": 1000, "s": 1}[kind]
        file.columns["when"] = [str(int(m.timestamp()) * unit) for m in moments]
        file.keys["time_unit"] = kind
    else:
        file.columns["when"] = [m.strftime(kind) for m in moments]
        if kind in NOT_RECOGNIZED:
            file.keys["time_format"] = kind
        if draw(st.booleans()):
            zone = draw(st.sampled_from(["Europe/Berlin", "America/New_York"]))
            file.keys["time_zone"] = zone


def _add_channels(draw: st.DrawFn, file: Written) -> None:
    words = draw(st.lists(st.sampled_from(WORDS), max_size=3))
    if file.keys["separator"] == " ":
        words = [word or "NA" for word in words]
    number = draw(st.sampled_from(NUMBERS))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    for name in file.channels:
        cells = [number(float(value)) for value in rng.normal(size=ROWS)]
        if file.keys["decimal"] == ",":
            cells = [cell.replace(".", ",") for cell in cells]
        for k in range(1, ROWS - 1):
            if words and rng.random() < 0.2:
                cells[k] = str(rng.choice(words))
        file.columns[name] = cells
    if words:
        file.keys["missing"] = draw(st.sampled_from(["ffill", "mask"]))
        file.keys["missing_values"] = ["fehlt", -200]


def _lines(draw: st.DrawFn, file: Written) -> list[str]:
    separator = file.keys["separator"]
    quoted = draw(st.booleans())
    padding = draw(st.sampled_from(["", " "])) if separator in ",;|" else ""
    end = separator if separator != " " and draw(st.booleans()) else ""
    joint = separator * draw(st.integers(1, 3)) if separator == " " else separator + padding

    def cell(text: str) -> str:
        needed = separator in text or '"' in text
        return '"' + text.replace('"', '""') + '"' if quoted or needed else text

    order = draw(st.permutations(list(file.columns)))
    rows = [list(row) for row in zip(*(file.columns[name] for name in order), strict=True)]
    if draw(st.booleans()):
        rows.insert(0, list(order))
    else:
        file.keys["columns"] = order
    return [joint.join(map(cell, row)) + end for row in rows]


def _add_other_lines(draw: st.DrawFn, file: Written, lines: list[str]) -> None:
    """Comments, blank lines, and lines before the header."""
    if len(file.columns) > 1 and draw(st.booleans()):
        place = draw(st.integers(len(lines) - ROWS + 1, len(lines)))
        lines.insert(place, draw(st.sampled_from(["", "  "])))
    if "#" not in file.columns and draw(st.booleans()):
        file.keys["comment"] = "#"
        lines.insert(draw(st.integers(0, len(lines))), "# a comment, 1; 2")
    if draw(st.booleans()):
        file.keys["skip_rows"] = draw(st.integers(1, 3))
        lines[:0] = [f"station {k}" for k in range(file.keys["skip_rows"])]


def _saved(folder: Path, written: Written, content: bytes) -> tuple[Path, Config]:
    path = folder / ("data.csv.gz" if written.packed else "data.csv")
    path.write_bytes(gzip.compress(content) if written.packed else content)
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in written.keys.items())
    text = CONFIG.format(
        path=json.dumps(path.name),
        channels=json.dumps(written.channels),
        target=json.dumps(written.channels[0]),
        keys=keys,
    )
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return path, load_config(folder / "config.toml")


def _on_a_board(config: Config, path: Path, *, but_last: bool = False) -> tuple[Any, list[Any]]:
    """The samples and the answers of a file, by the bundle's specification."""
    made = make_spec(config, load_data(config))
    spec = ModelSpec.from_dict(json.loads(json.dumps(made.to_dict())))
    form = spec.inputs.text
    with text_blocks(str(path), form) as blocks:
        lines = [line for block in blocks for line in block]
    used = lines[:-1] if but_last else lines
    (found,) = recordings(spec.inputs, used, form.skip_rows)
    session = Session(spec, Reference(spec, random_weights(spec)))
    return found, list(answers(session, lines, skip_rows=form.skip_rows))


@settings(PROPERTY, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(written=files())
def test_what_training_reads_a_board_reads(
    tmp_path_factory: pytest.TempPathFactory, written: Written
) -> None:
    folder = tmp_path_factory.mktemp("files")
    path, config = _saved(folder, written, written.content)
    (recording,) = config.data.read(config.asked)
    assert len(recording.x) == ROWS
    found, streamed = _on_a_board(config, path)
    np.testing.assert_array_equal(found, recording.x)
    assert [line for line in streamed if "error" in line] == []
    assert len(streamed) == ROWS
    shutil.rmtree(folder)


@settings(PROPERTY, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(written=files(), data=st.data())
def test_a_damaged_file_is_refused_in_one_line_or_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, written: Written, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("files")
    content = bytearray(written.content)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 8))
        damage = st.sampled_from([b"", b"\n", b",", b";", b'"', b"1", b".", b"\0", b"\xff", b"[#"])
        content[start : start + length] = data.draw(damage)
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    path, config = _saved(folder, written, bytes(content))
    refused = ""
    try:
        (recording,) = config.data.read(config.asked)
        make_spec(config, load_data(config))
    except (DataError, ConfigError) as e:
        refused = str(e)
    if refused:
        assert "\n" not in refused
        shutil.rmtree(folder)
        return
    table = config.data.table(path, Wanted({}))
    found, streamed = _on_a_board(config, path, but_last=bool(table.notes))
    np.testing.assert_array_equal(found, recording.x)
    errors = [line for line in streamed if "error" in line]
    assert len(errors) == len(table.notes)
    assert len(streamed) == len(recording.x) + len(errors)
    shutil.rmtree(folder)


def test_a_text_that_is_cut_off_and_lacks_a_column(tmp_path: Path) -> None:
    """The look for a line that would fit reads on, to where the text can't be decoded."""
    path = tmp_path / "a.csv"
    path.write_bytes("a;b\n1;2\n".encode("utf-16") + b"9")
    with pytest.raises(DataError, match=r"not utf-16") as caught:
        read_table(path, TextForm(), Wanted({"a": "channels"}))
    assert "\n" not in str(caught.value)
