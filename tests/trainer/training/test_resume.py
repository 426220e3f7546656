"""A run that was killed goes on as if it had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_lstm import load_run, train
from edge_lstm.config.schema import Config
from edge_lstm.training import loop
from edge_lstm_runtime import TrainingError
from helpers.configs import CLASSIFY
from helpers.interrupt import interrupted_after

# Saving after every epoch makes the moment of the kill matter.
SCRIPT = """
import sys
from pathlib import Path
import torch
from edge_lstm import load_config, train
from edge_lstm.training import loop
torch.set_num_threads(1)
loop.SAVE_EVERY = 0.0
train(load_config(sys.argv[1]), sys.argv[2], resume=sys.argv[3] == "resume", quiet=True)
"""
SETTINGS = {
    "model__num_layers": 2, "model__dropout": 0.3, "augment__noise": 0.1, "augment__offset": 0.1,
    "train__epochs": 150, "train__learning_rate": 0.01, "train__weight_decay": 0.1,
}  # fmt: skip


def start(config: Path, out: Path, mode: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(config), str(out), mode], env=os.environ
    )


def wait_for(path: Path, process: subprocess.Popen[bytes], newer_than: int) -> None:
    until = time.monotonic() + 300  # on a busy machine the imports alone can take a minute
    while not path.exists() or path.stat().st_mtime_ns <= newer_than:
        assert time.monotonic() < until, "no checkpoint after five minutes"
        assert process.poll() is None, "training ended before it could be killed"
        time.sleep(0.005)


@pytest.mark.usefixtures("classify_csv")
def test_killed_twice_and_resumed_equals_uninterrupted(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    config = configure(CLASSIFY, **SETTINGS)
    # The overrides as a file, for the other process.
    (tmp_path / "config.toml").write_text(config.to_toml())
    expected = train(config, tmp_path / "whole", quiet=True)
    out = tmp_path / "killed"
    epochs = [0]
    newer_than = 0
    for mode in ("new", "resume"):
        process = start(tmp_path / "config.toml", out, mode)
        try:
            wait_for(out / "last.pt", process, newer_than)
            time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert process.returncode == -signal.SIGKILL
        newer_than = (out / "last.pt").stat().st_mtime_ns
        epochs.append(torch.load(out / "last.pt", weights_only=True)["progress"]["epoch"])
    assert epochs == sorted(set(epochs))
    assert epochs[-1] < 150
    assert not (out / "metrics.json").exists()
    # The path is now absolute, the only difference from the file in the other process.
    from edge_lstm import load_config

    resumed = train(load_config(tmp_path / "config.toml"), out, resume=True, quiet=True)
    for checkpoint in ("best", "last"):
        one = load_run(tmp_path / "whole", checkpoint)
        other = load_run(out, checkpoint)
        for name, array in one.weights.items():
            np.testing.assert_array_equal(array, other.weights[name])
    assert resumed.metrics == expected.metrics
    timings = {"seconds", "samples_per_s"}
    rows = [
        [{k: v for k, v in row.items() if k not in timings} for row in run.history]
        for run in (expected, resumed)
    ]
    assert rows[0] == rows[1]
    assert not list(out.glob(".*.tmp"))
    lines = (out / "history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", *(str(k) for k in range(1, 151))]


@pytest.mark.usefixtures("classify_csv")
def test_killed_before_the_first_checkpoint_starts_over(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    config = configure(CLASSIFY)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text(config.to_toml())
    assert len(train(config, tmp_path / "run", resume=True, quiet=True).history) == 2


@pytest.mark.usefixtures("classify_csv")
def test_killed_between_the_last_epoch_and_the_metrics(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    config = configure(CLASSIFY)
    run = train(config, tmp_path / "run", quiet=True)
    (run.path / "metrics.json").unlink()
    assert train(config, run.path, resume=True, quiet=True).metrics == run.metrics


@pytest.mark.usefixtures("classify_csv")
def test_a_run_from_before_a_key_was_there_goes_on(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    run = train(configure(CLASSIFY), tmp_path / "run", quiet=True)
    (run.path / "metrics.json").unlink()
    last = torch.load(run.path / "last.pt", weights_only=True)
    del last["config"]["train"]["refit"]
    last["format"] = 2  # of a file without a sha256
    torch.save(last, run.path / "last.pt")
    assert train(configure(CLASSIFY), run.path, resume=True, quiet=True).metrics == run.metrics
    with pytest.raises(TrainingError, match=r"train\.refit was False and is True"):
        train(configure(CLASSIFY, train__refit=True), run.path, resume=True, quiet=True)


@pytest.mark.usefixtures("classify_csv")
def test_an_interrupt_keeps_the_best_epoch(
    configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY", 3600.0)
    monkeypatch.setattr(loop.Training, "_epoch", interrupted_after(3, loop.Training._epoch))
    with pytest.raises(KeyboardInterrupt):
        train(configure(CLASSIFY, train__epochs=9), tmp_path / "run", quiet=True)
    assert len(load_run(tmp_path / "run").history) <= 3
