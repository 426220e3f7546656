"""A damaged file of a run or a comparison is never read as other content.

EDGE_LSTM_FLIPS=2000 draws more of them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_lstm import load_run, train
from edge_lstm.compare import comparison, detectors
from edge_lstm.config.schema import Config
from edge_lstm.training import checkpoint
from edge_lstm_runtime.errors import TrainingError
from edge_lstm_runtime.files import sealed, unsealed
from helpers.configs import CLASSIFY
from helpers.flips import flips, silent

Configure = Callable[..., Config]


@pytest.fixture
def run(classify_csv: Path, configure: Configure, tmp_path: Path) -> Path:
    assert classify_csv.exists()
    return train(configure(CLASSIFY), tmp_path / "run", quiet=True).path


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        alike = type(a) is type(b) and len(a) == len(b)
        return alike and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and bool(a == b)


@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
def test_a_flipped_bit_in_a_checkpoint_is_noticed(run: Path, name: str) -> None:
    whole = checkpoint.load(run / name)
    keys = ("model", "spec")
    assert not silent(
        run / name, lambda: checkpoint.load(run / name, keys), lambda found: equal(found, whole)
    )


def test_every_bit_of_the_end_of_a_checkpoint(run: Path) -> None:
    """Without its seal the file is not taken for one of an earlier version."""
    path = run / "best.pt"
    whole = path.read_bytes()
    for bit in range(8 * (len(whole) - 90), 8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"best\.pt: damaged"):
            checkpoint.load(path)
    path.write_bytes(whole[:-83])
    with pytest.raises(TrainingError, match="damaged: its sha256 at the end is missing; restore"):
        checkpoint.load(path)


def test_the_digest_is_verified_before_anything_is_unpickled(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpickled(*_: object, **__: object) -> None:
        raise AssertionError("it was unpickled")

    monkeypatch.setattr(torch, "load", unpickled)
    for _, damaged in flips((run / "best.pt").read_bytes(), 20, seed=1):
        if unsealed_fails(damaged):
            (run / "best.pt").write_bytes(damaged)
            with pytest.raises(TrainingError, match="damaged, or no checkpoint"):
                checkpoint.load(run / "best.pt")


def unsealed_fails(data: bytes) -> bool:
    try:
        unsealed(data)
    except ValueError:
        return True
    return False


@pytest.mark.usefixtures("classify_csv")
def test_resume_names_the_damaged_file_and_what_to_do(run: Path, configure: Configure) -> None:
    (run / "metrics.json").unlink()
    data = bytearray((run / "last.pt").read_bytes())
    data[len(data) // 2] ^= 16
    (run / "last.pt").write_bytes(data)
    with pytest.raises(
        TrainingError,
        match=r"run/last\.pt: damaged, or no checkpoint of edge-lstm \(the content does not have "
        r"the sha256 that was written with it\); --resume can't go on from it: restore the file "
        r"from a copy, or train again in another folder$",
    ):
        train(configure(CLASSIFY), run, resume=True, quiet=True)
    assert (run / "last.pt").read_bytes() == data


def test_metrics(run: Path) -> None:
    whole = load_run(run).metrics
    path = run / "metrics.json"
    assert not silent(path, lambda: checkpoint.read_json(path), lambda found: found == whole)


def test_metrics_of_an_earlier_version(run: Path) -> None:
    whole = load_run(run).metrics
    (run / "metrics.json").write_text('{"best_epoch": 1, "epochs": 2}')
    assert load_run(run).metrics == {"best_epoch": 1, "epochs": 2}
    (run / "metrics.json").write_text(json.dumps(whole, indent=2))
    assert load_run(run).metrics == whole


def test_a_checkpoint_of_an_earlier_version(run: Path) -> None:
    whole = load_run(run).weights
    contents = checkpoint.load(run / "best.pt")
    torch.save({**contents, "format": 2}, run / "best.pt")
    for name, array in load_run(run).weights.items():
        np.testing.assert_array_equal(array, whole[name])


def test_a_row_of_a_comparison(tmp_path: Path) -> None:
    """The plan is written and read by the same functions."""
    values = {"name": "ridge", "title": "ridge regression", "metrics": {"rmse": 0.1}, "note": "ö"}
    path = tmp_path / "ridge.json"
    checkpoint.save_json(path, values)
    assert not silent(path, lambda: comparison.read_json(path), lambda found: found == values)


def test_scores_of_a_detector(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(size=500)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, threshold=1.5, scores0=scores)
    path = tmp_path / "raw.npz"
    path.write_bytes(sealed(buffer.getvalue()))

    def same(found: tuple[list[Any], float]) -> bool:
        return found[1] == 1.5 and np.array_equal(found[0][0], scores)

    assert not silent(path, lambda: detectors._kept(path, 1), same)
