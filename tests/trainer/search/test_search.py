"""The command with its worker processes: killed, gone on with, and what it writes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_lstm import load_run
from edge_lstm.config.load import load_config
from edge_lstm.search.budget import parse_budget
from edge_lstm.search.engines import ENGINES
from edge_lstm.search.run import Options, search
from edge_lstm.search.with_optuna import began_at
from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.files import unsealed_json
from helpers.commands import environment
from helpers.configs import DRAWN

CLASSIFY = f"""{DRAWN}epochs = 80
threads = 1
[search]
draws = 2
hidden_size = [2, 8]
types = ["rnn", "lstm"]
transforms = ["configured"]
"""
TRIALS = 3
COMMAND = [sys.executable, "-m", "edge_lstm_command", "search", "a.toml", "-o", "found"]
OPTIONS = ["--budget", "bytes<=1k", "--trials", str(TRIALS), "--workers", "2"]


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *OPTIONS, *options],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(what: Callable[[], Any], seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)
    return found


def children(process: subprocess.Popen[str]) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


def in_training(pids: list[int], folder: Path) -> int:
    """A worker that has written a checkpoint and not ended its trial, 0 if there is none."""
    for last in folder.glob("found/trials/*/draw0/last.pt"):
        for pid in pids:
            descriptors = Path(f"/proc/{pid}/fd")
            for link in descriptors.iterdir() if descriptors.exists() else ():
                try:
                    if link.readlink() == last.parent:  # it holds the run's folder
                        return pid
                except OSError:
                    continue
    return 0


@pytest.mark.slow
def test_killed_and_gone_on_with(classify_csv: Path) -> None:
    """A worker by -9, then all of them, and nothing is lost and nothing is trained twice."""
    folder = classify_csv.parent
    (folder / "a.toml").write_text(CLASSIFY)
    first = start(folder)
    victim = until(lambda: in_training(children(first), folder))
    os.kill(victim, signal.SIGKILL)
    assert first.stderr is not None
    said = next(line for line in first.stderr if "its worker died" in line)
    assert "another one goes on with it" in said
    everybody = [first.pid, *children(first)]
    for pid in everybody:
        os.kill(pid, signal.SIGKILL)
    first.communicate(timeout=60)
    until(lambda: not any(map(began_at, everybody)))
    began = {p.parent.parent.name for p in folder.glob("found/trials/*/draw0/last.pt")}
    assert began

    second = start(folder)
    out, said = second.communicate(timeout=300)
    assert second.returncode == 0, said
    found = unsealed_json((folder / "found" / "search.json").read_bytes())
    assert len(found["trials"]) == TRIALS
    assert found["failed"] == {}
    numbers = {f"{row['number']:03d}" for row in found["trials"]}
    assert began <= numbers  # also those that were killed
    assert {p.name for p in (folder / "found" / "trials").iterdir()} == numbers
    for row in found["trials"]:
        trial = folder / "found" / "trials" / f"{row['number']:03d}"
        for run in map(load_run, sorted(trial.iterdir())):
            assert [r["epoch"] for r in run.history] == list(range(1, len(run.history) + 1))
            assert not run.metrics  # no look at the test split
        assert min(costs["bytes"] for costs in row["costs"].values()) <= 1000
    chosen = found["chosen"]
    assert chosen["bytes"] <= 1000
    run = load_run(folder / "found" / f"chosen-{chosen['trial']:03d}")
    assert run.metrics["test"]["accuracy"] is not None
    assert load_config(folder / "found" / "chosen.toml").model.type == run.config.model.type
    assert (folder / "found" / "search.png").stat().st_size > 10_000
    table = (folder / "found" / "search.md").read_text()
    assert table in out
    assert f"trial {chosen['trial']} in {chosen['format']}" in table

    config = load_config(folder / "a.toml")
    options = Options(parse_budget("bytes<=1k"), ENGINES.load("optuna").ENGINE, TRIALS, 2)
    again = search(config, folder / "found", options, quiet=True)  # all is there
    assert again.text == table
    assert again.chosen.row.number == chosen["trial"]
    other = dataclasses.replace(options, budget=parse_budget("bytes<=900"))
    with pytest.raises(
        TrainingError, match=r"another search: budget.bytes was 1000.0 and is 900.0; undo"
    ):
        search(config, folder / "found", other, quiet=True)


@pytest.mark.slow
def test_stopped_by_a_signal(classify_csv: Path) -> None:
    folder = classify_csv.parent
    (folder / "a.toml").write_text(CLASSIFY)
    search = start(folder)
    until(lambda: in_training(children(search), folder))
    workers = children(search)
    search.send_signal(signal.SIGINT)
    _, said = search.communicate(timeout=60)
    assert search.returncode == 130
    assert said.splitlines()[-1] == "edge-lstm: stopped"
    assert not any(map(began_at, workers))
    assert json.loads((folder / "found" / "us.json").read_text()) is not None
