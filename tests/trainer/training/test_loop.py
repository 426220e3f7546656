"""A step of the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_lstm import train
from edge_lstm.config.schema import Config
from edge_lstm.training import loop
from edge_lstm.training.batches import Batch
from helpers.configs import CLASSIFY


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize("clip_norm", [0.01, 1000.0])
def test_gradients_are_clipped_by_their_norm(
    configure: Callable[..., Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clip_norm: float,
) -> None:
    """The norm that is told is the one before clipping. The optimizer gets the clipped one."""
    norms: list[tuple[float, float]] = []
    update = loop.Training._update

    def watched(self: loop.Training, batch: Batch) -> Any:
        found = update(self, batch)
        squares = [p.grad.square().sum() for p in self.net.parameters() if p.grad is not None]
        norms.append((float(found[1]), float(torch.stack(squares).sum().sqrt())))
        return found

    monkeypatch.setattr(loop.Training, "_update", watched)
    train(configure(CLASSIFY, train__clip_norm=clip_norm), tmp_path / "run", quiet=True)
    assert len(norms) >= 4
    for before, after in norms:
        assert 0.01 < before < 1000
        assert after == pytest.approx(0.01 if clip_norm == 0.01 else before, rel=1e-4)
