"""The share of the fastest number of threads."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from helpers.benchmarks import benchmark

THREADS = benchmark("threads")


def test_the_share_counts_the_choices_and_their_time() -> None:
    """Batches of 2 ms and 1 ms, 1,000 in all. Once the slower number was chosen, in 0.1 s."""
    seconds = Counter({1: 0.2, 2: 0.3})
    taken = THREADS.Taken(Counter({1: 100, 2: 300}), seconds, [(2, 0.0), (1, 0.1)])
    assert taken.share(1000) == pytest.approx(1.0 / ((1.0 + 2.1) / 2))


@pytest.mark.parametrize(
    ("default", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_the_numbers_that_are_tried(default: int, expected: list[int]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(default)
    try:
        assert THREADS.counts() == expected
    finally:
        torch.set_num_threads(before)
