"""The runs below a folder, each read from its files. Nothing of it is loaded with PyTorch."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_lstm_runtime import kinds
from edge_lstm_runtime.errors import EdgeLstmError
from edge_lstm_runtime.model import format1
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.flat import flat
from ..config.schema import Config
from ..results.metrics import headline
from ..stateful import stateful
from ..tasks import TASKS
from ..training import checkpoint
from . import speed
from .peek import peek

MARKS = (checkpoint.CONFIG, checkpoint.METRICS, checkpoint.HISTORY)  # of a run without checkpoint
DEEPEST = 6  # folders below the one that is asked
STRANGERS = 5  # folders without a run that are named one by one


@dataclasses.dataclass(frozen=True)
class Found:
    """A finished run.

    name: its folder, from the one that was asked. path: the same from here. data: in words.
    units: the layers with a state. bytes: of float32 weights. metric, value: the one that speaks
    for it, on the test split. low, high: its 95 % interval, None if it has none. higher: whether
    more of it is better. us, backend: microseconds of a step and the backend, None without any.
    date: of its end, ISO 8601. epochs, best_epoch: trained, and the best. config: the keys
    that have a value, as "section.key". curve: the rows of history.csv.
    """

    name: str
    path: str
    data: str
    task: str
    units: str
    parameters: int
    bytes: int
    metric: str
    value: float | None
    low: float | None
    high: float | None
    higher: bool
    us: float | None
    backend: str | None
    seed: int
    date: str
    epochs: int
    best_epoch: int
    config: Mapping[str, Any]
    curve: tuple[Mapping[str, float], ...]


@dataclasses.dataclass(frozen=True)
class Looked:
    """found: by name. troubles: a line for each folder that is no finished run."""

    found: tuple[Found, ...]
    troubles: tuple[str, ...]


def look(folder: Path) -> Looked:
    """The runs in `folder` and below it. A run's own folders (its teacher, its stages) are none."""
    found = []
    troubles = []
    strangers: list[str] = []
    trials: Counter[Path] = Counter()
    for path in _folders(folder):
        name = os.path.relpath(path, folder)
        shown = path.name if name == "." else name
        try:
            if (path / checkpoint.BEST).exists() or (path / checkpoint.LAST).exists():
                found.append(read(path, shown))
            elif _strange(path, folder):
                strangers.append(shown)
        except (EdgeLstmError, _UnfinishedError) as e:
            if isinstance(e, _UntestedError) and (search := _search(path, folder)):
                trials[search] += 1
            else:
                troubles.append(f"{shown}: {_without(path, str(e))}")
    troubles += [_of_trials(search, folder, count) for search, count in trials.items()]
    troubles += _no_run(folder, [s for s in strangers if not _below(s, found, troubles)])
    return Looked(tuple(sorted(found, key=lambda f: f.name)), tuple(sorted(troubles)))


class _UnfinishedError(Exception):
    pass


class _UntestedError(_UnfinishedError):
    pass


def _strange(path: Path, folder: Path) -> bool:
    """Whether a folder without checkpoint is told of. That of a search's trials isn't."""
    asked = path.parent == folder and kinds.kind(folder) != kinds.SEARCH
    return not kinds.kind(path) and (asked or bool(_marks(path)))


def _search(path: Path, folder: Path) -> Path | None:
    """The search in `folder` or below it that the run is a trial of: SEARCH/trials/007/draw0."""
    search = path.parent.parent.parent
    inside = folder in (search, *search.parents)
    return search if inside and kinds.kind(search) == kinds.SEARCH else None


def _of_trials(search: Path, folder: Path, count: int) -> str:
    runs = "1 run of its trials has" if count == 1 else f"{count} runs of its trials have"
    shown = search.name if search == folder else os.path.relpath(search, folder)
    ended = (search / "search.md").exists()
    more = "search.md is about them" if ended else "`edge-lstm search ...` goes on with it"
    return f"{shown}: a search, {runs} not looked at the test split; {more}"


def _folders(folder: Path) -> Iterator[Path]:
    for here, inside, files in os.walk(folder):
        path = Path(here)
        depth = len(path.parts) - len(folder.parts)
        is_run = {checkpoint.BEST, checkpoint.LAST} & {*files}
        inside[:] = [] if is_run or depth >= DEEPEST else _visible(inside)
        yield path


def _visible(names: list[str]) -> list[str]:
    return sorted(n for n in names if not n.startswith(".") and n not in ("__pycache__", "lib"))


def _below(name: str, found: list[Found], troubles: list[str]) -> bool:
    """Whether a folder has runs below it."""
    inside = f"{name}{os.sep}"
    return any(f.name.startswith(inside) for f in found) or any(
        t.startswith(inside) for t in troubles
    )


def _no_run(folder: Path, names: list[str]) -> list[str]:
    begun = {n: _marks(folder / n) for n in names}
    said = [f"{n}: no run: it has {', '.join(b)} and no checkpoint" for n, b in begun.items() if b]
    others = [n for n, b in begun.items() if not b]
    said += [f"{n}: no run" for n in others[:STRANGERS]]
    if (more := len(others) - STRANGERS) > 0:
        said.append(f"and {more} more folders without a run")
    return said


def _marks(path: Path) -> list[str]:
    return [mark for mark in MARKS if (path / mark).exists()]


def _without(path: Path, message: str) -> str:
    """The message without the folder's path, which stands before it."""
    return message.removeprefix(f"{path}{os.sep}").removeprefix(f"{path}: ")


def read(path: Path, name: str) -> Found:
    """Raises TrainingError if a file is damaged, and _UnfinishedError."""
    best = path / checkpoint.BEST
    contents = peek(best if best.exists() else path / checkpoint.LAST)
    progress = contents["progress"]
    try:
        metrics = checkpoint.read_json(path / checkpoint.METRICS)
    except FileNotFoundError:
        last = path / checkpoint.LAST
        done = peek(last)["progress"] if last.exists() else progress
        of = contents["config"]["train"]["epochs"]
        raise _UntestedError(
            f"unfinished, {done['epoch']} of {of} epochs are done; "
            "`edge-lstm train ... --resume` goes on"
        ) from None
    try:
        return _row(path, name, contents, metrics)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise _UnfinishedError(
            f"{checkpoint.METRICS} or {best.name} is of another version: {e!r}"
        ) from e


def _row(path: Path, name: str, contents: Mapping[str, Any], metrics: Mapping[str, Any]) -> Found:
    old = contents.get("format") == 1
    spec = ModelSpec.from_dict(format1.specification(contents["spec"]) if old else contents["spec"])
    config = Config.from_dict(contents["config"], contents["folder"])
    test = metrics["test"]
    metric = headline(test)
    section = TASKS.load(config.model.task).Section
    us, backend = speed.known(path)
    ended = datetime.fromtimestamp((path / checkpoint.METRICS).stat().st_mtime).astimezone()
    return Found(
        name=name,
        path=os.fspath(path),
        data=_words(config),
        task=config.model.task,
        units=", ".join(layer.title for layer in stateful(spec.network)),
        parameters=spec.network.parameters,
        bytes=4 * spec.network.parameters,
        metric=metric,
        value=test.get(metric),
        low=test.get(f"{metric}_low"),
        high=test.get(f"{metric}_high"),
        higher=metric in section.HIGHER_IS_BETTER,
        us=us,
        backend=backend,
        seed=config.train.seed,
        date=ended.isoformat(timespec="seconds"),
        epochs=metrics["epochs"],
        best_epoch=metrics["best_epoch"],
        config=dict(flat(config.to_dict())),
        curve=tuple(contents["progress"]["history"]),
    )


def _words(config: Config) -> str:
    """The data, by the names of its files."""
    names = [Path(p).name for p in config.data.paths]
    return ", ".join(names[:2]) + ", ..." * (len(names) > 2) if names else config.data.needs
