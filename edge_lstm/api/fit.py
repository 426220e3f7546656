"""From data in memory to a run, in one call."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_lstm_runtime.errors import ConfigError, DataError, TrainingError

from ..config.load import config_of
from ..config.schema import Config
from ..data.in_frames import is_frame, polars_frame
from ..data.in_memory import given
from ..results.run import Run
from ..tasks import TASKS
from ..training import checkpoint
from ..training.train import train
from .keys import Key, keyed, nested, said
from .material import Material, of_frame, of_recordings

# Of `fit`, if nothing else is given.
USUAL: Mapping[str, Any] = {"hidden_size": 32, "epochs": 30}


def fit(  # noqa: PLR0913 - options that stand by themselves
    data: Any,
    y: Any = None,
    *,
    task: str | None = None,
    groups: Any = None,
    out: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    figures: bool = True,
    trackers: Sequence[str] = (),
    **settings: Any,
) -> Run:
    """Train a model on data in memory, and return its run.

    data: numbers (N, T, C), N recordings of T steps and C channels; one recording (T, C); a list of
    recordings (T, C) of any lengths; a frame of polars or pandas; an iterable of `Recording`; or a
    PyTorch `Dataset` of x (T, C) or of pairs (x, y).
    y: for arrays, (N,) a class or a number for each recording, (N, T) one for each step, or
    (N, T, k) k numbers for each step. A list for recordings of several lengths. Floating types are
    numbers, whole numbers and text are classes. A number for a recording is learned at its last
    step.
    task: as in [model]. If it is left out, y, `label`, `target` or `horizon` tells it.
    groups: (N,) the person or device that each recording is of. A group is in one split alone.
    out: the run's folder, new or empty. The data is kept in it, in float32 if that loses nothing
    (4 bytes for each value), else in float64. The run can thus be resumed, exported and trained
    again. None: a temporary folder, which is removed with the last reference to the run.
    resume: go on with the run in `out`, of the same data and settings.
    quiet: no progress on standard error.
    figures: whether to draw the run's figures (curves.png, ...), which takes longer than a small
    training.
    trackers: names of tools, such as "mlflow", that get the figures of each epoch (docs/runs.md).
    settings: keys of a configuration (docs/configuration.md), looked for in [model], [train],
    [data] and [data.split]: `hidden_size=16, epochs=50, val=0.2`. `target` is one name or several.
    Any other key has its section: `**{"quantize.scheme": "int8"}` or `quantize={"scheme": "int8"}`.
    For frames, `time`, `label`, `group` and `target` name columns. All other columns of numbers are
    inputs, unless `channels` names them.

    Recordings of more than 512 steps are cut into windows for training, unless `window` is given.
    Splits are 70 % training, 15 % validation and 15 % test: whole recordings, or groups, or the
    parts of one recording in time.

    Raises ConfigError for a setting, DataError for the data, TrainingError for the folder. Nothing
    is then left behind.

    >>> import numpy as np, edge_lstm as el
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 20, 3))  # (N, T, C)
    >>> y = np.where(X[:, :, 0].mean(axis=1) > 0, "up", "down")  # (N,)
    >>> run = el.fit(X, y, hidden_size=8, epochs=2, quiet=True, figures=False)
    >>> run.spec.answer.names
    ('down', 'up')

    A forecast of the columns of a frame, kept in a folder:

    >>> import polars as pl
    >>> frame = pl.DataFrame({"users": np.sin(np.arange(300) / 4)})
    >>> run = el.fit(frame, target="users", horizon=[1, 4], out="runs/users", epochs=1,
    ...              quiet=True, figures=False)
    >>> run.predict(frame).shape  # (T, O): each step's two forecasts
    (300, 2)
    """
    if "target" in settings:
        named = settings.pop("target")
        settings["targets"] = (named,) if isinstance(named, str) else tuple(named)
    material = _material(data, y, task, groups, settings)
    settings = {**material.settings, **settings}
    with _folder(out, material, resume=resume) as folder:
        config = _config(material, settings, folder)
        for key in ("devices", "num_nodes"):
            if (
                count := getattr(config.train, key)
            ) > 1:  # each process would run the caller's program
                raise ConfigError(
                    f"fit({key}={count}): trains in this process alone; write a configuration, and "
                    "run `edge-lstm train`"
                )
        _write(material, folder, resume=resume)
        run = train(config, folder, resume=resume, quiet=quiet, figures=figures, trackers=trackers)
    if out is None:
        weakref.finalize(run, shutil.rmtree, folder, ignore_errors=True)
    return run


def _material(
    data: Any, y: Any, task: str | None, groups: Any, settings: dict[str, Any]
) -> Material:
    numbers = _numbers(task)
    if not is_frame(data):
        return of_recordings(given(data, y, groups, numbers=numbers), task, settings)
    if y is not None or groups is not None:
        raise ConfigError(
            "fit(y=..., groups=...): are for arrays; name the frame's column by `label` for a "
            "class, by `target` for numbers, by `group` for the recordings"
        )
    return of_frame(polars_frame(data), task, settings)


def _numbers(task: str | None) -> bool | None:
    """Whether a task's answers are numbers, None if it isn't known."""
    if task is None:
        return None
    return not TASKS.load(task).Section.needs_labels


def _config(material: Material, settings: Mapping[str, Any], folder: Path) -> Config:
    keys = keyed(settings, material.source, material.task)
    usual = {k: v for k, v in keyed(USUAL, material.source, material.task).items() if k not in keys}
    if ("model", "layers") in keys:
        usual.pop(("model", "hidden_size"), None)
    fixed: dict[Key, str] = {("data", "source"): material.source, ("model", "task"): material.task}
    told = {key: f"fit({said(key[-1])}=...)" for key in keys}
    return config_of(nested({**fixed, **usual, **keys}), folder, told)


@contextlib.contextmanager
def _folder(out: str | Path | None, material: Material, *, resume: bool) -> Iterator[Path]:
    """The folder, made, or a temporary one. If nothing was trained, it is as it was before."""
    if out is None and resume:
        raise ConfigError("fit(resume=True): needs `out`, the folder of the run to go on with")
    if out is None:
        folder = Path(tempfile.mkdtemp(prefix="edge-lstm-"))
        new = []
    else:
        folder = Path(out).absolute()
        checkpoint.check_run(folder, resume=resume)
        new = [f for f in (folder, *folder.parents) if not f.exists()]
        if taken := [name for name in material.names if (folder / name).exists() and not resume]:
            raise TrainingError(f"{folder}: has a file {taken[0]}; name another folder")
    try:
        yield folder
    except BaseException as e:
        if out is None:
            shutil.rmtree(folder, ignore_errors=True)
        elif not (folder / checkpoint.CONFIG).exists():
            for name in material.names if not resume else ():
                (folder / name).unlink(missing_ok=True)
            for made in new:
                with contextlib.suppress(OSError):  # not there, or not empty
                    made.rmdir()
        if isinstance(e, DataError) and (said := _of_caller(str(e), folder)) != str(e):
            raise DataError(said) from e
        raise


def _of_caller(message: str, folder: Path) -> str:
    """With the caller's data named, and not the file that it is kept in."""
    of_array = rf"{re.escape(str(folder / 'data.npz'))}, sequence (\d+)"
    message = re.sub(of_array, r"x[\1]", message)
    return message.replace(str(folder / "data.parquet"), "the data")


def _write(material: Material, folder: Path, *, resume: bool) -> None:
    """The files of the data. If they are there already, they must be the same."""
    if not resume:
        checkpoint.make_folder(folder)
        material.write(folder)
        return
    with tempfile.TemporaryDirectory(prefix="edge-lstm-") as again:
        material.write(Path(again))
        for name in material.names:
            file = folder / name
            if not file.exists() or file.read_bytes() != (Path(again) / name).read_bytes():
                raise TrainingError(
                    f"{folder}: can't resume this run: the data has changed since it was started; "
                    "give the same data, or train in another folder"
                )
