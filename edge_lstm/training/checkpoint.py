"""What a training run keeps on disk, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.files import atomic_write

from ..threads import Choice

FORMAT = 1
BEST, LAST, CONFIG, HISTORY, METRICS = "best.pt", "last.pt", "config.toml", "history.csv", "metrics.json"
FIRST = "first.pt"  # the best model before it was trained anew on more data
FLOAT = "float.pt"  # the best model before it was fine-tuned for int8
FULL = "full.pt"  # the best model before it was pruned


def prepare_folder(out: Path, what: str, marks: tuple[str, ...], *, resume: bool) -> None:
    """Make the folder. marks: the files that say that a `what`, such as "run", was begun there.

    Raises TrainingError where one is to be resumed and there is none, where there is one and it is not to be, and for a folder that
    can't be made.
    """
    started = any((out / mark).exists() for mark in marks)
    if resume and not started:
        raise TrainingError(f"{out}: there is no {what} to resume; leave out --resume to start one")
    if started and not resume:
        raise TrainingError(f"{out}: holds a {what} already; go on with it by --resume, or name another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise TrainingError(f"{out}: the folder can't be made: {e}") from e


@dataclasses.dataclass
class Progress:
    """How far training has come.

    finished: "" or why training ended. history: one row per epoch. threads: how many there were
    from which epoch on, the first entry from epoch 1.
    """

    epoch: int = 0
    step: int = 0
    best_score: tuple[float, float] | None = None
    best_epoch: int = 0
    epochs_without_better: int = 0
    finished: str = ""
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    threads: list[Choice] = dataclasses.field(default_factory=list)


def save(path: Path, contents: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        torch.save({"format": FORMAT, **contents}, file)


def load(path: Path, keys: tuple[str, ...] = ("model", "spec", "config", "folder", "fingerprint", "progress")) -> dict[str, Any]:
    """A checkpoint, its tensors on the CPU; nothing but tensors and plain values is unpickled."""
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as e:
        raise TrainingError(f"{path.parent}: there is no {path.name}; expected the folder of a training run") from e
    except Exception as e:  # torch raises many types for a damaged file
        raise TrainingError(
            f"{path}: damaged, or no checkpoint of edge-lstm ({type(e).__name__}); restore the file, or train again in another folder"
        ) from e
    if not isinstance(contents, dict) or contents.get("format") != FORMAT or not set(keys) <= set(contents):
        found = contents.get("format") if isinstance(contents, dict) else None
        raise TrainingError(f"{path}: checkpoint format {found!r}, expected {FORMAT}; it was written by another version: train again")
    return contents


def save_json(path: Path, values: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write((json.dumps(values, indent=2, allow_nan=False) + "\n").encode())


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every key whose value changed, in words."""
    found = []
    for key in dict.fromkeys((*before, *now)):
        a, b = before.get(key), now.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key} was {a!r} and is {b!r}")
    return found
