"""The benchmark of the recipes: how it writes a figure over seeds."""

from __future__ import annotations

import pytest

from helpers.benchmarks import benchmark


@pytest.mark.parametrize(
    ("values", "text"),
    [
        # Deviations from 12: -1, 0 and 1, whose squares over n - 1 are 1.
        ([11.0, 12.0, 13.0], "12.00 ± 1.00 (3 seeds)"),
        ([1.0] * 10, "1.000 ± 0.000 (10 seeds)"),
        # 0.005 either side: sqrt(2 * 0.005^2 / 1) = 0.00707.
        ([0.99, 0.98], "0.9850 ± 0.0071 (2 seeds)"),
        ([2.1946], "2.195 (1 seed)"),
        ([0.0, 0.0], "0.000 ± 0.000 (2 seeds)"),
        ([20000.0, 20002.0], "20001 ± 1 (2 seeds)"),
    ],
)
def test_mean_and_deviation_over_the_seeds(values: list[float], text: str) -> None:
    assert benchmark("tasks").over_seeds(values) == text
