"""The choice among the nets that were trained, and the trials that end early."""

from __future__ import annotations

from typing import Any

import pytest

from edge_lstm.search.budget import Budget
from edge_lstm.search.rows import Point, Row, choose, fitting, pareto, peers, points, stops


def row(number: int, size: float, draws: list[float], **changes: Any) -> Row:
    costs = {"float32": {"bytes": 4 * size, "us": 2.0}, "int8": {"bytes": size, "us": 1.0}}
    found: dict[str, Any] = {
        "number": number,
        "values": {},
        "metrics": {"float32": draws, "int8": draws},
        "costs": costs,
        "curve": [],
        "stopped": "",
        "epochs": 1,
        "seconds": 1.0,
    }
    return Row(**{**found, **changes})


def named(found: list[Point]) -> list[tuple[int, str]]:
    return [(p.row.number, p.number_format) for p in found]


def test_the_smallest_within_a_standard_error() -> None:
    """The best: 0.9, 1.0, 0.8 have a deviation of 0.1, so an error of 0.1 / sqrt(3) = 0.0577."""
    rows = [row(0, 400, [0.9, 1.0, 0.8]), row(1, 200, [0.85] * 3), row(2, 100, [0.84] * 3)]
    chosen = choose(points(rows), "bytes", higher=True)
    assert (chosen.row.number, chosen.number_format) == (1, "int8")
    assert points(rows)[0].error == pytest.approx(0.057735, rel=1e-4)


def test_with_one_draw_the_best_and_of_equals_the_smallest() -> None:
    rows = [row(0, 400, [1.0]), row(1, 200, [0.99]), row(2, 300, [1.0])]
    chosen = choose(points(rows), "bytes", higher=True)
    assert (chosen.row.number, chosen.number_format) == (2, "int8")
    assert chosen.error == 0


def test_errors_are_better_if_lower() -> None:
    rows = [row(0, 400, [10.0, 12.0]), row(1, 200, [11.9, 12.1]), row(2, 100, [12.1, 12.3])]
    # The best has 11 ± 1 (deviation sqrt(2), over sqrt(2)), so 12 is near and 12.2 is not.
    assert choose(points(rows), "bytes", higher=False).row.number == 1


def test_rounding_can_cost_the_choice() -> None:
    worse = {"float32": [0.9], "int8": [0.5]}
    chosen = choose(points([row(0, 100, [], metrics=worse)]), "bytes", higher=True)
    assert chosen.number_format == "float32"


def test_over_the_budget_or_stopped_is_not_chosen() -> None:
    rows = [row(0, 100, [0.9]), row(1, 10, [1.0], stopped="worse"), row(2, 300, [1.0])]
    assert named(fitting(rows, Budget({"bytes": 200}))) == [(0, "int8")]
    assert named(fitting(rows, Budget({"us": 1.5}))) == [(0, "int8"), (2, "int8")]


def test_the_front() -> None:
    rows = [row(0, 100, [0.5]), row(1, 200, [0.7]), row(2, 300, [0.6]), row(3, 800, [0.7])]
    found = pareto(points(rows), "bytes", higher=True)
    assert named(found) == [(0, "int8"), (1, "int8")]
    found = pareto(points(rows), "bytes", higher=False)
    assert named(found) == [(0, "int8")]


def test_peers_cost_no_more() -> None:
    rows = [row(0, 100, [1.0]), row(1, 200, [1.0]), row(2, 300, [1.0])]
    costs = {"float32": {"bytes": 800.0}, "int8": {"bytes": 200.0}}
    assert [r.number for r in peers(rows, costs, "bytes")] == [0, 1]


def test_the_median_rule() -> None:
    others = [row(k, 1, [1.0], curve=[0.1 * k] * 3 + [k] * 7) for k in range(5)]
    assert stops([0.1], others, 10) == ""  # below 0.3 of the epochs
    assert stops([0.0, 0.0, 0.19], others, 10)  # the median of 0, 0.1 ... 0.4 is 0.2
    assert stops([0.0, 0.0, 0.2], others, 10) == ""
    assert stops([0.0, 0.0, 0.2, 1.9], others, 10)  # then of 0, 1 ... 4
    assert stops([0.0, 0.0, 0.2, 2.0], others, 10) == ""
    assert stops([0.0, 0.0, 0.0], others[:3], 10) == ""  # too few of them


def test_a_peer_that_ended_early_counts_with_its_last_value() -> None:
    others = [row(k, 1, [1.0], curve=[0.0, 1.0]) for k in range(4)]
    assert stops([0.0] * 5, others, 10)
    assert stops([0.0] * 4 + [1.0], others, 10) == ""
