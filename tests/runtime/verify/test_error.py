"""The one definition of an error, and its limits, written out so that other tests may use them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_lstm_runtime.verify.error import (
    FLOAT16,
    FLOAT32,
    INT8,
    Tolerance,
    compare,
    float32_tolerance,
)


def test_the_limits() -> None:
    limits = {(t.metric, t.limit) for t in (FLOAT32, FLOAT16, INT8)}
    assert limits == {("max_abs", 1e-5), ("nrmse", 2e-3), ("nrmse", 1e-2)}
    assert float32_tolerance(np.array([[0.2, -40.0]])).limit == pytest.approx(4e-4)


def test_figures_by_hand() -> None:
    reference = np.array([[0.0, 2.0], [4.0, 6.0]])  # their standard deviation is the root of 5
    found = compare(np.array([[0.0, 2.0], [4.0, 5.0]]), reference)
    assert (found.steps, found.max_abs, found.worst) == (2, 1.0, (1, 1))
    assert found.rmse == 0.5
    assert found.nrmse == pytest.approx(0.5 / math.sqrt(5))
    assert compare(reference, reference, 2.0).nrmse == 0
    assert compare(reference + 1, reference, 4.0).nrmse == 0.25


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_within_nothing(wrong: float) -> None:
    found = compare(np.array([[0.0], [wrong]]), np.array([[0.0], [1.0]]))
    assert not found.within(Tolerance("max_abs", 1e300, ""))
    assert not found.within(Tolerance("nrmse", 1e300, ""))
    assert found.worst == (1, 0)


def test_nothing_varies() -> None:
    constant = np.ones((3, 1))
    assert compare(constant, constant).nrmse == 0
    assert compare(constant + 1e-9, constant).nrmse == math.inf
