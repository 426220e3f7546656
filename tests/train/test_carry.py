"""Sequences that begin in the state another one left."""

from __future__ import annotations

import torch

from edge_lstm.loop import _carried


def test_a_random_share_begins_carried_and_the_rest_at_zero() -> None:
    h = torch.ones(2, 1000, 3, requires_grad=True)
    state = _carried((h, 2 * h), 0.5, torch.Generator().manual_seed(0), 800)
    assert state is not None
    kept = state[0][:, :, 0]
    assert kept.shape == (2, 800)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert 320 < int(kept[0].sum()) < 480
    assert torch.equal(state[1], 2 * state[0])
    assert not state[0].requires_grad  # no gradient flows into the sequence before


def test_no_share_nothing_left_or_too_few_begin_at_zero() -> None:
    generator, left = torch.Generator(), (torch.ones(1, 4, 3), torch.ones(1, 4, 3))
    assert _carried(left, 0.0, generator, 4) is None
    assert _carried(None, 0.5, generator, 4) is None
    assert _carried(left, 0.5, generator, 5) is None
