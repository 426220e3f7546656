"""What takes long: two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Run, load_run, train
from edge_lstm.config.schema import Config
from helpers.configs import CLASSIFY

TWO: dict[str, object] = {"train__devices": 2, "train__strategy": "ddp"}
SCRIPT = """
import sys
import torch
from edge_lstm import load_config, train
torch.set_num_threads(1)
train(load_config(sys.argv[1]), sys.argv[2])
"""


def by_two_processes(config: Config, folder: Path) -> tuple[Run, str]:
    """The run, and what was said on standard error."""
    (folder / "config.toml").write_text(config.to_toml())
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, folder / "script.py", folder / "config.toml", folder / "together"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "MASTER_ADDR": "127.0.0.1"},
    )
    assert done.returncode == 0, done.stderr
    return load_run(folder / "together"), done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize("bidirectional", [False, True])
def test_two_processes_give_what_one_gives(
    configure: Callable[..., Config], tmp_path: Path, bidirectional: bool
) -> None:
    # Six sequences of unequal length in batches of five: in the second, one process has no
    # sequence.
    settings: dict[str, object] = {
        "train__epochs": 4,
        "train__batch_size": 5,
        "train__learning_rate": 0.01,
    }
    settings["model__bidirectional"] = bidirectional
    alone = train(configure(CLASSIFY, **settings), tmp_path / "alone", quiet=True)
    run, said = by_two_processes(configure(CLASSIFY, **settings, **TWO), tmp_path)
    # the first process alone talks
    assert len([line for line in said.splitlines() if line.startswith("epoch ")]) == 4
    for name, array in alone.weights.items():
        np.testing.assert_allclose(run.weights[name], array, rtol=1e-3, atol=1e-5)
    for one, two in zip(alone.history, run.history, strict=True):
        for key in ("train_loss", "val_loss", "val_accuracy"):
            assert two[key] == pytest.approx(one[key], rel=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("classify_csv")
def test_two_processes_teach_and_prune_as_one_does(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    text = (
        CLASSIFY + "[distill]\nhidden_size = 8\n[prune]\nhidden_size = 4\nsteps = 1\nepochs = 2\n"
    )
    settings: dict[str, object] = {
        "train__epochs": 4,
        "train__batch_size": 5,
        "train__learning_rate": 0.01,
    }
    alone = train(configure(text, **settings), tmp_path / "alone", quiet=True)
    together, _ = by_two_processes(configure(text, **settings, **TWO), tmp_path)
    for name, array in alone.weights.items():
        np.testing.assert_allclose(together.weights[name], array, rtol=1e-3, atol=1e-5)
    assert [row["model"] for row in together.metrics["compact"]] == [
        row["model"] for row in alone.metrics["compact"]
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("classify_csv")
def test_two_processes_fine_tune_as_one_does(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    text = CLASSIFY + "[quantize]\nscheme = 'int8'\ntolerance = 0\nepochs = 2\n"
    settings: dict[str, object] = {
        "train__epochs": 4,
        "train__batch_size": 5,
        "train__learning_rate": 0.01,
    }
    train(configure(text, **settings), tmp_path / "alone", quiet=True)
    run, _ = by_two_processes(configure(text, **settings, **TWO), tmp_path)
    alone, together = (
        np.genfromtxt(tmp_path / name / "int8" / "history.csv", delimiter=",", names=True)
        for name in ("alone", "together")
    )
    for key in ("train_loss", "val_loss"):
        np.testing.assert_allclose(together[key], alone[key], rtol=1e-3)
    assert run.metrics["quantize"]["epochs"] == 2


@pytest.mark.slow
@pytest.mark.usefixtures("classify_csv")
def test_more_processes_than_a_batch_has_sequences(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    """The states that are carried are those that one process carries."""
    for carry in (0.0, 0.5):
        settings: dict[str, object] = {"train__batch_size": 1, "train__carry": carry}
        folder = tmp_path / f"{carry}"
        folder.mkdir()
        alone = train(configure(CLASSIFY, **settings), folder / "alone", quiet=True)
        run, _ = by_two_processes(configure(CLASSIFY, **settings, **TWO), folder)
        for name, array in alone.weights.items():
            np.testing.assert_allclose(run.weights[name], array, rtol=1e-3, atol=1e-5)
