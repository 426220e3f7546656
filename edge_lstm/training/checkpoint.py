"""The files of a training run.

Each is written whole or not at all, and those that are read back carry the sha256 of their content.
It is verified before anything is unpickled. Files of earlier versions have none.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_lstm_runtime import kinds
from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.files import (
    atomic_write,
    check_folder_writable,
    sealed,
    sealed_json,
    unsealed,
    unsealed_json,
)
from edge_lstm_runtime.model import format1

if TYPE_CHECKING:
    from ..threads import Choice

FORMAT = 3  # with a sha256; 2 is without; 1 knew LSTM layers alone
BEST = "best.pt"
LAST = "last.pt"
CONFIG = "config.toml"
HISTORY = "history.csv"
METRICS = "metrics.json"
FIRST = "first.pt"  # the best model before it was trained anew on more data
FLOAT = "float.pt"  # the best model before it was fine-tuned for int8
FULL = "full.pt"  # the best model before it was pruned


def check_folder(out: Path, what: str, marks: tuple[str, ...], *, resume: bool) -> None:
    """marks: the files that say that a `what`, such as "run", was begun in the folder.

    Raises TrainingError if there is none to resume, if there is one and it is not to be resumed, if
    the folder is of another kind, and if nothing can be written there.
    """
    started = any((out / mark).exists() for mark in marks)
    if resume and not started:
        raise TrainingError(f"{out}: there is no {what} to resume; leave out --resume to start one")
    if started and not resume:
        raise TrainingError(
            f"{out}: holds a {what} already; go on with it by --resume (from Python: "
            "resume=True), or name another folder"
        )
    if not started and (other := kinds.kind(out)):
        raise TrainingError(f"{out} is {other}; name another folder for the {what}")
    try:
        check_folder_writable(out)
    except OSError as e:
        raise TrainingError(
            f"{out}: can't be written: {e.strerror or e}; name another folder"
        ) from e


def check_run(out: Path, *, resume: bool) -> None:
    """As `check_folder`, for a run."""
    check_folder(out, "run", (CONFIG, LAST), resume=resume)


def make_folder(out: Path) -> None:
    """Raises TrainingError if it can't be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise TrainingError(f"{out}: the folder can't be made: {e}") from e


@dataclasses.dataclass
class Progress:
    """How far training has come.

    finished: why training ended, "" if it has not. history: one row per epoch. threads: how many
    there were, and from which epoch on. The first entry is of epoch 1. season: the period of the
    data, if it was found and not given.
    """

    epoch: int = 0
    step: int = 0
    best_score: tuple[float, float] | None = None
    best_epoch: int = 0
    epochs_without_better: int = 0
    finished: str = ""
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    threads: list[Choice] = dataclasses.field(default_factory=list)
    season: dict[str, Any] | None = None


def save(path: Path, contents: Mapping[str, Any]) -> None:
    import torch  # here, because a folder is checked before it, and it takes seconds

    buffer = io.BytesIO()
    torch.save({**contents, "format": FORMAT}, buffer)
    with atomic_write(path) as file:
        file.write(sealed(buffer.getvalue()))


def load(
    path: Path,
    keys: tuple[str, ...] = ("model", "spec", "config", "folder", "fingerprint", "progress"),
) -> dict[str, Any]:
    """A checkpoint, its tensors on the CPU. Only tensors and plain values are unpickled.

    keys: those that it must have. Raises TrainingError if the file is missing, damaged or of
    another format.
    """
    import torch

    advice = "restore the file from a copy, or train again in another folder"
    if path.name == LAST:
        advice = f"--resume can't go on from it: {advice}"
    try:
        content, has_seal = unsealed(path.read_bytes())
        contents = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except FileNotFoundError as e:
        raise TrainingError(
            f"{path.parent}: there is no {path.name}; expected the folder of a training run"
        ) from e
    except OSError as e:
        raise TrainingError(f"{path}: can't be read: {e.strerror or e}") from e
    except Exception as e:  # torch raises many types for a damaged file
        why = e if type(e) is ValueError else type(e).__name__
        raise TrainingError(
            f"{path}: damaged, or no checkpoint of edge-lstm ({why}); {advice}"
        ) from e
    if (
        not isinstance(contents, dict)
        or contents.get("format") not in (1, 2, FORMAT)
        or not set(keys) <= set(contents)
    ):
        found = contents.get("format") if isinstance(contents, dict) else None
        raise TrainingError(
            f"{path}: checkpoint format {found!r}, expected {FORMAT}; "
            "it was written by another version: train again"
        )
    if contents["format"] == FORMAT and not has_seal:
        raise TrainingError(f"{path}: damaged: its sha256 at the end is missing; {advice}")
    return _of_format_1(contents) if contents["format"] == 1 else contents


def _of_format_1(contents: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint of a version that knew only LSTM layers, as it is written now."""

    def renamed(name: str) -> str:
        name = re.sub(r"^lstm\.(\w+)_l(\d+)(_reverse)?$", r"layers.lstm\2.rnn.\1_l0\3", name)
        return re.sub(r"^head\.", "layers.head.linear.", name)

    found = dict(contents)
    if "model" in found:
        found["model"] = {renamed(name): tensor for name, tensor in found["model"].items()}
    if "spec" in found:
        found["spec"] = format1.specification(found["spec"])
    if "w8a8" in found:
        found["w8a8"] = format1.renamed(found["w8a8"])
    return found


def save_json(path: Path, values: Mapping[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write(sealed_json(values))


def read_json(path: Path) -> Any:
    """Raises FileNotFoundError, and TrainingError if the file is damaged."""
    try:
        return unsealed_json(path.read_bytes())
    except (ValueError, RecursionError) as e:
        raise TrainingError(
            f"{path}: damaged ({e}); delete it, and `train` or `compare` with --resume writes it "
            "again"
        ) from e


def as_before(spec: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The specification without the inputs' range, if an earlier version wrote none."""
    known = before["inputs"]
    later = [key for key in ("low", "high") if key not in known]
    inputs = {key: value for key, value in spec["inputs"].items() if key not in later}
    return {**spec, "inputs": inputs}


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every key with another value, in words."""
    found = []
    for key in dict.fromkeys((*before, *now)):
        a = before.get(key)
        b = now.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key} was {a!r} and is {b!r}")
    return found
