"""Quantiles against scikit-learn and plain NumPy: their loss, coverage and widths."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import mean_pinball_loss

from edge_lstm import Sequence, evaluate
from edge_lstm.results.metrics import titled
from edge_lstm.results.quantiles import intervals, widths
from edge_lstm.tasks.base import task_of
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.forecast import Forecast
from helpers.specs import chain

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
STEPS = (1, 4)


def spec_of(targets: tuple[str, ...], horizon: int | tuple[int, ...] = STEPS) -> ModelSpec:
    steps = horizon if isinstance(horizon, int) else len(horizon)
    size = steps * len(targets) * len(LEVELS)
    answer = Forecast(targets, horizon, (0.0,) * size, (1.0,) * size, quantiles=LEVELS)
    inputs = Channels(("a", "b"), (0.0, 0.0), (1.0, 1.0))
    return ModelSpec(inputs, chain(2, 2, 1, size), answer)


def answers_to(x: np.ndarray, size: int) -> np.ndarray:
    made = np.random.default_rng(1).normal(size=(len(x), size)) * 3
    return np.sort(made.reshape(len(x), -1, len(LEVELS)), axis=2).reshape(made.shape)


@pytest.mark.parametrize("targets", [("b",), ("b", "a")])
def test_pinball_and_coverage_of_every_part(targets: tuple[str, ...]) -> None:
    spec = spec_of(targets)
    x = np.random.default_rng(0).normal(size=(50, 2)) * (1.0, 20.0)
    answer = answers_to(x, spec.output_size)
    found = evaluate(spec, [Sequence("s", "g", x)], [answer])
    rows = np.arange(50 - STEPS[-1])
    losses: dict[str, list[float]] = {t: [] for t in targets}
    within: dict[str, list[np.ndarray]] = {t: [] for t in targets}
    for k, step in enumerate(STEPS):
        for j, target in enumerate(targets):
            truth = x[rows + step, "ab".index(target)]
            first = (k * len(targets) + j) * len(LEVELS)
            made = answer[rows, first : first + len(LEVELS)]
            loss = np.mean(
                [mean_pinball_loss(truth, made[:, n], alpha=q) for n, q in enumerate(LEVELS)]
            )
            inside = {
                "0.9": (made[:, 0] <= truth) & (truth <= made[:, 4]),
                "0.5": (made[:, 1] <= truth) & (truth <= made[:, 3]),
            }
            part = found["per_step"][k]["per_target"][target]
            assert found["per_step"][k]["ahead"] == step
            assert part["pinball"] == pytest.approx(loss)
            assert part["mae"] == pytest.approx(np.abs(made[:, 2] - truth).mean())
            assert part["coverage"] == {n: pytest.approx(i.mean()) for n, i in inside.items()}
            losses[target].append(loss)
            within[target].append(inside["0.9"])
    for target in targets:
        part = found["per_target"][target]
        assert part["pinball"] == pytest.approx(np.mean(losses[target]))
        assert part["coverage"]["0.9"] == pytest.approx(np.mean(within[target]))
    assert found["coverage"]["0.9"] == pytest.approx(np.mean(list(within.values())))
    assert found["pinball"] == (pytest.approx(np.mean(losses["b"])) if len(targets) == 1 else None)
    json.dumps(found, allow_nan=False)


def test_the_verdict_has_a_sentence_for_each_step_ahead_and_interval() -> None:
    """The forecast is exact one step ahead, and a flat line four steps ahead."""
    spec = spec_of(("b",))
    x = np.random.default_rng(0).normal(size=(104, 2))
    later = np.concatenate([x[1:, 1], [0.0]])
    offsets = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
    near = later[:, None] + offsets
    far = np.full((104, 1), 40.0) + offsets
    found = evaluate(spec, [Sequence("s", "g", x)], [np.concatenate([near, far], axis=1)])
    first, second, wide, narrow = found["verdict"].splitlines()
    assert first.startswith("1 step ahead: The model beats the naive forecast (last value): MAE 0 ")
    assert second.startswith("4 steps ahead: The model does not beat the naive forecast")
    assert found["beats_naive"] is False
    both = "(1 step ahead: 100.0 %, 4 steps ahead: 0.0 %)"
    assert wide == f"50.0 % of the values are within the 90 % interval {both}."
    assert narrow == f"50.0 % of the values are within the 50 % interval {both}."
    each = found["baselines"]["naive"]["per_step"]
    for k, step in enumerate(STEPS):
        assert each[k]["ahead"] == step
        error = x[:100, 1] - x[step : 100 + step, 1]
        assert each[k]["mae"] == pytest.approx(np.abs(error).mean())
    shown = titled(found, task_of(spec).titles)
    assert shown["MAE, b+1"] == 0
    assert shown["MAE, b+4"] == found["per_step"][1]["mae"]
    assert shown["pinball loss, b+4"] == found["per_step"][1]["pinball"]
    baseline = titled(found["baselines"]["naive"], task_of(spec).titles)
    assert baseline["RMSE, b+4"] == each[1]["rmse"]
    lines = task_of(spec).closing(found, None)
    assert lines[0].startswith("test error      1 step ahead: MAE 0, RMSE 0")
    assert lines[1].startswith(
        f"test error      4 steps ahead: MAE {found['per_step'][1]['mae']:.4g}"
    )
    two = evaluate(spec_of(("b", "a")), [Sequence("s", "g", x)], [answers_to(x, 20)])
    places = [line.split(":")[0] for line in two["verdict"].splitlines()[:4]]
    assert places == ["b, 1 step ahead", "a, 1 step ahead", "b, 4 steps ahead", "a, 4 steps ahead"]


def test_a_horizon_that_is_a_number_is_told_as_before() -> None:
    spec = spec_of(("b",), 2)
    x = np.random.default_rng(0).normal(size=(30, 2))
    found = evaluate(spec, [Sequence("s", "g", x)], [answers_to(x, spec.output_size)])
    assert "ahead" not in found
    assert "ahead" not in found["verdict"]
    assert "MAE" in titled(found, task_of(spec).titles)


def test_intervals_are_the_pairs_that_are_even() -> None:
    assert intervals(LEVELS) == [(0, 4, 0.9), (1, 3, 0.5)]
    assert intervals((0.05, 0.5, 0.9)) == []
    assert intervals((0.1, 0.5, 0.9)) == [(0, 2, 0.8)]


@pytest.mark.parametrize("size", [0.3, 1.0, 4.0])
def test_widths_give_each_interval_its_share(size: float) -> None:
    """Normal errors whose size changes, and quantiles that are `size` times as far as is right."""
    rng = np.random.default_rng(2)
    count = 5000
    sigma = np.exp(rng.normal(size=(count, 2)))
    middle = rng.normal(size=(count, 2))
    wanted = middle + sigma * rng.normal(size=(count, 2))
    normal = np.array([-1.644854, -0.674490, 0.0, 0.674490, 1.644854])
    outputs = middle[..., None] + size * sigma[..., None] * normal
    wanted[::7, 1] = np.nan
    found = widths(LEVELS, outputs.reshape(count, -1), np.repeat(wanted, 5, axis=1))
    assert len(found) == 10
    factors = np.reshape(found, (2, 5))
    np.testing.assert_allclose(factors[:, [0, 1, 3, 4]], 1 / size, rtol=0.06)
    assert factors[:, 2].tolist() == [1, 1]
    moved = middle[..., None] + factors * (outputs - middle[..., None])
    for low, high, share in intervals(LEVELS):
        for k in range(2):
            known = ~np.isnan(wanted[:, k])
            inside = (moved[:, k, low] <= wanted[:, k]) & (wanted[:, k] <= moved[:, k, high])
            # The share of n + 1 values, so that it holds for the next one.
            assert inside[known].mean() == pytest.approx(share, abs=2 / known.sum())


@pytest.mark.parametrize(
    ("outputs", "wanted", "expected"),
    [
        # Crossed: the lower end is above the median. Only what lies between both ends has room.
        ([[1.0, 0.0, 2.0]] * 9, [1.0] * 9, 0.5),
        # No room on the side of the truth at any width.
        ([[0.0, 0.0, 0.0]] * 9, [1.0] * 9, 1.0),
        # Nothing is known.
        ([[-1.0, 0.0, 1.0]] * 9, [np.nan] * 9, 1.0),
        # The rank of 80 % among 9 and one to come is 8.
        ([[-1.0, 0.0, 1.0]] * 9, [-0.1, 0.2, -0.3, 0.4, -0.5, 0.6, -0.7, 0.8, -0.9], 0.8),
    ],
)
def test_widths_by_hand(outputs: list[Any], wanted: list[float], expected: float) -> None:
    truth = np.repeat(np.array(wanted)[:, None], 3, axis=1)
    found = widths((0.1, 0.5, 0.9), np.array(outputs), truth)
    assert found == pytest.approx((expected, 1.0, expected))
