"""One process at a time writes into a folder. Real processes; the first is stopped while it holds.

A training is stopped by SIGSTOP as soon as its first checkpoint is there.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_lstm import train
from edge_lstm.compare import compare
from edge_lstm.config.schema import Config
from edge_lstm.training import checkpoint
from edge_lstm.training.claim import claimed
from edge_lstm.training.folds import train_folds
from edge_lstm_runtime.errors import TrainingError
from helpers.commands import command, environment
from helpers.configs import CLASSIFY

Configure = Callable[..., Config]
EPOCHS = 100_000  # never reached
HELD = "another process holds it and is writing there; wait until that one has ended"


@contextmanager
def running(folder: Path, mark: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command, stopped when `mark` is there."""
    process = subprocess.Popen(
        [*command(*arguments), "--set", f"train.epochs={EPOCHS}"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 300
        while not mark.exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("classify_csv")
def test_two_trainings_into_one_folder(configure: Configure, tmp_path: Path) -> None:
    config = configure(CLASSIFY)
    out = tmp_path / "run"
    with running(tmp_path, out / "last.pt", "train", "config.toml", "-o", "run"):
        with pytest.raises(TrainingError, match=rf"^{out}: {HELD}, or choose another name$"):
            train(config, out, resume=True, quiet=True)
        with pytest.raises(TrainingError, match="holds a run already"):
            train(config, out, quiet=True)
        train(config, tmp_path / "other", quiet=True)
    # The process was killed, and its lock with it.
    with running(tmp_path, out / "last.pt", "train", "config.toml", "-o", "run", "--resume"):
        pass  # it would have ended with an error
    with pytest.raises(TrainingError, match=r"train\.epochs was 100000 and is 2"):
        train(config, out, resume=True, quiet=True)


@pytest.mark.usefixtures("classify_csv")
def test_folds(configure: Configure, tmp_path: Path) -> None:
    config = configure(CLASSIFY, ('val = ["s4"]\ntest = ["s5"]\n', "val = 0.3\n"))
    mark = tmp_path / "out" / "fold0" / "last.pt"
    with (
        running(tmp_path, mark, "train", "config.toml", "-o", "out", "--folds", "3"),
        pytest.raises(TrainingError, match=rf"^{tmp_path}/out: {HELD}"),
    ):
        train_folds(config, 3, tmp_path / "out", resume=True, quiet=True)


@pytest.mark.usefixtures("classify_csv")
def test_compare(configure: Configure, tmp_path: Path) -> None:
    config = configure(CLASSIFY)
    mark = tmp_path / "out" / "lstm" / "last.pt"
    with (
        running(tmp_path, mark, "compare", "config.toml", "-o", "out"),
        pytest.raises(TrainingError, match=rf"^{tmp_path}/out: {HELD}"),
    ):
        compare(config, tmp_path / "out", resume=True, quiet=True)


@pytest.mark.parametrize("resume", [False, True])
def test_leftovers_of_a_kill_are_removed_and_nothing_else(tmp_path: Path, resume: bool) -> None:
    """A folder with other things in it may be named for a run."""
    (tmp_path / "other").mkdir()
    own = [tmp_path / ".config.toml.abcdefgh.tmp"]
    others = [tmp_path / ".mine.tmp", tmp_path / "other" / ".mine.tmp"]
    if resume:
        (tmp_path / "last.pt").touch()
        own = [tmp_path / ".history.csv.abcdefgh.tmp", tmp_path / "other" / ".best.pt.a.tmp"]
        others = [tmp_path / "mine.tmp"]
        (tmp_path / ".folder.tmp").mkdir()
    for file in own + others:
        file.touch()
    with claimed(tmp_path, "run", (checkpoint.CONFIG, checkpoint.LAST), resume=resume):
        assert [file.exists() for file in own] == [False] * len(own)
        assert all(file.exists() for file in others)


@pytest.mark.usefixtures("classify_csv")
def test_two_that_begin_at_once(configure: Configure, tmp_path: Path) -> None:
    """One of them trains, and the other says so."""
    configure(CLASSIFY)
    both = [
        subprocess.Popen(
            command("train", "config.toml", "-o", "run"),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=300)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    lost = told[[process.returncode for process in both].index(2)]
    assert HELD in lost or "run: holds a run already" in lost, lost
    assert len(lost.splitlines()) == 1
