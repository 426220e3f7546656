"""The report's table of each class, or of each target and step ahead, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_lstm import Sequence, evaluate
from edge_lstm.tasks.base import Detail, task_of
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.tasks.classify import Classify
from edge_lstm_runtime.tasks.forecast import Forecast
from helpers.specs import chain

NO_UNITS = ((0.0,), (1.0,))


def test_each_class_has_its_shares_and_none_if_there_are_no_cases() -> None:
    classes = ("x", "y", "z")
    spec = ModelSpec(Channels(("a",), *NO_UNITS), chain(1, 2, 1, 3), Classify(classes))
    truth, answers = "xxxxy", "xxxyy"
    recordings = [
        Sequence(str(k), str(k), np.zeros((2, 1)), "xyz".index(c)) for k, c in enumerate(truth)
    ]
    logits = [np.eye(3)[["xyz".index(c)] * 2] for c in answers]
    detail = task_of(spec).detail(evaluate(spec, recordings, logits))
    assert detail is not None
    assert detail.head == ("class", "sequences", "answered so", "precision", "recall", "F1")
    x, y, z = detail.rows
    assert x == ("x", 4, 3, 1.0, 0.75, pytest.approx(6 / 7))
    assert y == ("y", 1, 2, 0.5, 1.0, pytest.approx(2 / 3))
    assert z == ("z", 0, 0, None, None, None)


def forecasted(targets: str, horizon: Any, wrong: dict[str, float]) -> Detail | None:
    """Forecasts of straight lines that are off by `wrong` times the steps ahead."""
    count = len(targets)
    ahead = horizon if isinstance(horizon, tuple) else tuple(range(1, horizon + 1))
    outputs = count * len(ahead)
    answer = Forecast(tuple(targets), horizon, (0.0,) * outputs, (1.0,) * outputs)
    inputs = Channels(tuple(targets), (0.0,) * count, (1.0,) * count)
    spec = ModelSpec(inputs, chain(count, 2, 1, outputs), answer)
    steps = np.arange(40.0)
    x = np.stack([(k + 1) * steps for k in range(count)], axis=1)
    parts = []
    for n in ahead:
        parts += [(k + 1) * (steps + n) + n * wrong[t] for k, t in enumerate(targets)]
    found = evaluate(spec, [Sequence("s", "s", x)], [np.stack(parts, axis=1)])
    return task_of(spec).detail(found)


def test_each_target_at_each_step_ahead_has_its_errors_beside_the_baseline() -> None:
    detail = forecasted("ab", (1, 4), {"a": 0.5, "b": 3.0})
    assert detail is not None
    assert detail.head == ("target", "steps ahead", "MAE", "RMSE", "NRMSE", "MAE, naive forecast")
    shown = [(row[0], *(pytest.approx(v) for v in row[1:4]), row[5]) for row in detail.rows]
    # The last value of a line that rises by 1, or by 2, is so many steps behind.
    assert shown == [
        ("a", 1, 0.5, 0.5, pytest.approx(1)),
        ("a", 4, 2.0, 2.0, pytest.approx(4)),
        ("b", 1, 3.0, 3.0, pytest.approx(2)),
        ("b", 4, 12.0, 12.0, pytest.approx(8)),
    ]
    assert detail.caption.endswith("over the test split.")


def test_one_figure_needs_no_table_and_many_are_thinned_out_with_a_word() -> None:
    assert forecasted("a", 1, {"a": 1.0}) is None
    long = forecasted("a", 20, {"a": 1.0})
    assert long is not None
    ahead = [row[1] for row in long.rows]
    assert len(ahead) == len(set(ahead)) == 12
    assert (ahead[0], ahead[-1]) == (1, 20)
    assert [row[2] for row in long.rows] == pytest.approx(ahead)  # off by the steps ahead
    assert "These are 12 of 20 steps ahead." in long.caption
    wide = forecasted("abcdefghij", 1, dict.fromkeys("abcdefghij", 1.0))
    assert wide is not None
    assert [row[0] for row in wide.rows] == list("abcdefgh")
    assert "These are the first 8 of 10 targets." in wide.caption
    assert "steps ahead" not in wide.head
