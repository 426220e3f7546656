"""Sequences that begin in the state another one left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from edge_lstm import train
from edge_lstm.config.schema import Config
from edge_lstm.network import State
from edge_lstm.training import loop
from edge_lstm.training.batches import Batch, carried
from helpers.configs import FORECAST


def test_what_is_kept_begins_carried_and_the_rest_at_zero() -> None:
    h = torch.ones(4, 3)
    left = {"lstm0.h": h, "lstm1.h": h, "lstm1.c": 2 * h}
    state = carried(left, torch.tensor([1.0, 0.0, 1.0]))
    assert state is not None
    assert list(state) == list(left)
    assert [state[f"lstm{k}.h"][:, 0].tolist() for k in range(2)] == [[1, 0, 1]] * 2
    assert torch.equal(state["lstm1.c"], 2 * state["lstm1.h"])


def test_nothing_left_or_too_few_begin_at_zero() -> None:
    assert carried(None, torch.ones(4)) is None
    assert carried({"lstm0.h": torch.ones(4, 3)}, torch.ones(5)) is None


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_random_share_of_each_epoch_is_carried(
    configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    begins: list[State | None] = []
    update = loop.Training._update

    def watched(self: loop.Training, batch: Batch) -> tuple[Tensor, Tensor, State]:
        loss, norm, left = update(self, batch)
        assert set(left) == {"lstm0.h", "lstm0.c"}
        # No gradient flows into the sequence before.
        assert not any(part.requires_grad for part in left.values())
        begins.append(batch.begin)
        return loss, norm, left

    monkeypatch.setattr(loop.Training, "_update", watched)
    run = train(
        configure(FORECAST, train__carry=share, train__epochs=10), tmp_path / "run", quiet=True
    )
    steps = len(begins) // len(run.history)
    assert steps > 3
    assert all(begin is None for begin in begins[::steps])  # an epoch begins anew
    rest = [begin for k, begin in enumerate(begins) if k % steps]
    if not share:
        assert rest == [None] * len(rest)
        return
    carried = torch.cat(
        [begin["lstm0.h"].abs().sum(dim=1) > 0 for begin in rest if begin is not None]
    )
    assert len(carried) > 100
    assert abs(float(carried.float().mean()) - share) < 0.12 * (share < 1) + 1e-9
