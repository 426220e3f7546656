"""Six folders of other people's data: three as they are, three made from such data."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from edge_lstm import load_config
from edge_lstm.data.load import load_data

NAMES = ("occupancy", "bikes", "digits", "speakers", "motions", "weather")


def make(name: str, data: Path, folder: Path, *, few: bool = False) -> Path:
    """The file or folder for `edge-lstm init`.

    data: the folder of $EDGE_LSTM_DATA. folder: where what is made from it is written. few: only
    some of the sounds.

    occupancy  as it is: text files of quoted cells, one for training and two for the test
    bikes      as it is: a table of hours
    digits     as it is: sounds, 3_jackson_7.wav
    speakers   the same sounds with labels by folder: jackson/3_7.wav
    motions    BasicMotions with labels by file name: walking_01.csv
    weather    with semicolons and decimal commas
    """
    as_it_is = {"occupancy": "occupancy", "bikes": "bikes/bike.csv", "digits": "fsdd/recordings"}
    if name in as_it_is and not (few and name == "digits"):
        return data / as_it_is[name]
    folder = folder / name
    folder.mkdir(parents=True)
    if name in ("digits", "speakers"):
        return _sounds(data, folder, "*_[0-2].wav" if few else "*_?.wav", by=name)
    return _motions(folder) if name == "motions" else _weather(data, folder)


def _sounds(data: Path, folder: Path, files: str, by: str) -> Path:
    """Of ten digits by six speakers, fifty times each."""
    for path in sorted((data / "fsdd" / "recordings").glob(files)):
        digit, speaker, number = path.stem.split("_")
        link = folder / (path.name if by == "digits" else f"{speaker}/{digit}_{number}.wav")
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(path.resolve())
    return folder


def _motions(folder: Path) -> Path:
    splits = load_data(load_config("recipe:activity"))
    counts: dict[str, int] = {}
    for sequence in (*splits.train, *splits.val, *splits.test):
        label = splits.classes[sequence.label or 0]
        counts[label] = counts.get(label, 0) + 1
        rows = "\n".join(",".join(f"{v:.6g}" for v in row) for row in sequence.x)
        names = ",".join(splits.channels)
        (folder / f"{label}_{counts[label]:02d}.csv").write_text(f"{names}\n{rows}\n")
    return folder


def _weather(data: Path, folder: Path) -> Path:
    path = folder / "wetter.csv"
    with (data / "weather" / "nyc_weather.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    text = io.StringIO()
    out = csv.writer(text, delimiter=";", lineterminator="\n")
    for row in rows:
        out.writerow(cell.replace(".", ",") for cell in row)
    path.write_text(text.getvalue())
    return path


def samples(name: str, source: Path, folder: Path) -> Path:
    """One of the files, for `edge-lstm run`, cut to 200 lines if it is a text."""
    if source.is_dir():
        source = next(p for p in sorted(source.rglob("*")) if p.suffix in (".csv", ".wav", ".txt"))
    if source.suffix == ".wav":
        return source
    lines = source.read_text().splitlines(keepends=True)[:200]
    path = folder / f"{name}-samples{source.suffix}"
    path.write_text("".join(lines))
    return path


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))
