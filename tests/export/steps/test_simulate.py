"""What a board is held to, from the error on the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from edge_lstm_export.steps.simulate import quantised_tolerance, with_margin
from edge_lstm_runtime import compare

# 1,000 steps around 0 with a standard deviation of 1: an error is its own NRMSE.
REFERENCE = np.tile([[1.0], [-1.0]], (500, 1))


@pytest.mark.parametrize(("measured", "limit"), [(0.01, 0.015), (0.00123, 0.0018), (0.06, 0.09), (0.067, 0.1), (0.5, 0.1)])
def test_half_as_much_again_is_allowed_and_a_tenth_at_most(measured: float, limit: float) -> None:
    tolerance = with_margin(measured, "on paper")
    assert (tolerance.metric, tolerance.limit) == ("nrmse", limit)
    assert tolerance.reason == "1.5 x the NRMSE on paper, at most 0.1"


def test_a_board_may_round_in_other_places_and_no_more() -> None:
    tolerance = quantised_tolerance(REFERENCE + 0.02, REFERENCE, "on paper")
    assert compare(REFERENCE + 0.028, REFERENCE).within(tolerance)
    assert not compare(REFERENCE + 0.032, REFERENCE).within(tolerance)


def test_the_first_steps_count_by_themselves() -> None:
    """A board checks those alone; their error is relative to the spread of all."""
    early = REFERENCE.copy()
    late = REFERENCE.copy()
    early[:200] += 0.02
    late[-200:] += 0.02
    assert quantised_tolerance(early, REFERENCE, "on paper").limit == 0.03
    assert quantised_tolerance(late, REFERENCE, "on paper").limit == 0.013  # 1.5 x 0.02 x the root of a fifth
