"""The things that commands take, told apart by their names, for the message if it is another.

Nothing is read, because a damaged bundle is still one.
"""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote

BUNDLE = "a bundle, NAME.edge"
RUN = "the folder of a training run"
CONFIGURATION = "a configuration, NAME.toml"
SEARCH = "the folder of a search"
GRAPH = "an ONNX graph"
NET = "a net that another tool wrote"

_FILES = {
    ".edge": BUNDLE,
    ".toml": CONFIGURATION,
    ".onnx": GRAPH,
    ".pt2": NET,
    ".keras": NET,
    ".tflite": NET,
    ".nam": NET,
    ".pt": "a checkpoint",
    ".rknn": "a converted model",
    ".html": "a report",
    ".wav": "a recording",
    ".csv": "a table",
    ".parquet": "a table",
}
_FOLDERS = {  # by the files in them
    "best.pt": RUN,
    "last.pt": RUN,
    "plan.json": "the folder of a comparison",
    "study.json": SEARCH,
    "fold0": "the folder of a cross-validation",
    "model.json": "a folder of C source",
}


def kind(path: str | os.PathLike[str]) -> str:
    """The thing, "" if it is unknown or not there."""
    path = Path(path)
    if path.is_dir():
        return next((words for name, words in _FOLDERS.items() if (path / name).exists()), "")
    return _FILES.get(path.suffix.lower(), "") if path.is_file() else ""


def mistaken(path: str | os.PathLike[str], expected: str) -> str:
    """If the path is another thing than the one expected: its name, and the command for it."""
    found = kind(path)
    if not found or found == expected:
        return ""
    return (
        f"{os.fspath(path)} is {found}; expected {expected}{_advice(Path(path), found, expected)}"
    )


def _advice(path: Path, found: str, expected: str) -> str:
    shown = quote(str(path))
    bundle = quote(f"{path.stem}.edge")
    if found == RUN:
        if expected == BUNDLE:
            return f"; make one: edge-lstm export {shown} -o {bundle}"
        return f"; its configuration is {path / 'config.toml'}"
    if found == BUNDLE:
        made = "; give the run that it was made from" if expected == RUN else ""
        return f"{made}; for a bundle: edge-lstm info {shown}, or run, check, bench"
    if found == CONFIGURATION:
        return f"; first train: edge-lstm train {shown} -o RUN"
    if found == NET or (found == GRAPH and expected in (BUNDLE, RUN)):
        return f"; first: edge-lstm import {shown} -o {bundle}"
    if found == GRAPH:
        return f"; for a graph: edge-lstm lint {shown} --target NAME --scheme NAME"
    if found == _FILES[".pt"]:
        return f"; its run is {path.parent}"
    if found == _FILES[".rknn"]:
        return "; it runs as a part of a bundle"
    if found == _FOLDERS["plan.json"]:
        return f"; its run is in a folder of {path}"
    if found == SEARCH:
        chosen = sorted(map(str, path.glob("chosen-*")))
        return f"; its chosen run is {' or '.join(chosen)}" if chosen else ""
    if found == _FOLDERS["fold0"]:
        return f"; its runs are {path / 'fold0'} and those beside it"
    return ""
