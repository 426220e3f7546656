"""What is said beside the figures, from figures worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_lstm import Sequence, evaluate
from edge_lstm.results.intervals import wilson
from edge_lstm.results.notes import notes, season
from edge_lstm.tasks.classify import TASK as CLASSIFY
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.tasks.forecast import Forecast
from helpers.specs import chain

WINDOWS = {"window": 96, "stride": 24, "short": "refuse"}
WHOLE = {"window": None, "stride": None, "short": "refuse"}
TEXT = {"window": 35}
CONSTANT = "A constant, the test split's mean, would do as well: the NRMSE is"
LINE = "The answers are nearly a flat line: their standard deviation is"


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (6, 6, 0.6097, 1.0),
    ],
)
def test_intervals_are_the_published_ones(right: int, of: int, low: float, high: float) -> None:
    assert wilson(right, of) == pytest.approx((low, high), abs=1e-4)


def test_six_of_six_is_no_hundred_percent() -> None:
    low, high = wilson(6, 6)
    test = {"right": 6, "sequences": 6, "accuracy_low": low, "accuracy_high": high, "steps": 60}
    test |= {"accuracy": 1.0, "accuracy_all_steps": 0.9, "macro_f1": 1.0}
    words = (
        "6 of 6 sequences are right at the last step: 95 % interval 61.0 to 100.0 %, if they are "
        "independent."
    )
    assert CLASSIFY.verdict(test)[1] == words
    assert words in CLASSIFY.closing(test, None)[1]


def forecast(answers: np.ndarray, x: np.ndarray) -> dict[str, Any]:
    """answers: (T,) of the next value."""
    spec = ModelSpec(
        Channels(("a",), (0.0,), (1.0,)), chain(1, 2, 1, 1), Forecast(("a",), 1, (0.0,), (1.0,))
    )
    return evaluate(spec, [Sequence("s", "s", x[:, None])], [answers[:, None]])


def test_a_model_that_a_constant_equals_beats_nothing() -> None:
    """The truth alternates between 0 and 10, so that the last value is always wrong by 10."""
    x = np.tile([0.0, 10.0], 50)[:99]
    found = forecast(np.full(99, 5.0), x)
    sentence = (
        "The model has lower errors than the naive forecast (last value): "
        "MAE 5 against 10 (50.0 % lower), RMSE 5 against 10 (50.0 % lower)."
    )
    # 98 truths, as many of either.
    assert found["verdict"] == f"{sentence} {CONSTANT} 1. {LINE} 0 % of the truth's."
    assert found["beats_naive"] is False


def test_only_an_nrmse_that_is_printed_below_one_is_better_than_a_constant() -> None:
    x = np.tile([0.0, 10.0], 50)[:99]
    after = np.append(x[1:], 10.0)
    nearly = forecast(5 + 0.00004 * (after - 5), x)  # 0.99996 is printed as 1
    assert f"{CONSTANT} 1." in nearly["verdict"]
    better = forecast(5 + 0.02 * (after - 5), x)
    assert better["nrmse"] == pytest.approx(0.98)
    assert "The model beats the naive forecast" in better["verdict"]
    assert better["verdict"].endswith(f"{LINE} 2 % of the truth's.")
    assert better["beats_naive"] is True
    good = forecast(5 + 0.2 * (after - 5), x)
    assert "flat" not in good["verdict"]


def test_a_flat_line_of_a_worse_model_is_named_once() -> None:
    x = np.linspace(0, 10, 101)
    found = forecast(np.zeros(101), x)
    assert found["beats_naive"] is False
    assert found["verdict"].count("flat line") == found["verdict"].count("constant") == 1


def metrics(**others: Any) -> dict[str, Any]:
    test = {"accuracy": 1.0}
    return {"best_epoch": 7, "epochs": 20, "training_windows": 50, "test": test, **others}


@pytest.mark.parametrize(
    ("cuts", "words"),
    [
        (WINDOWS, "9 windows, so that another seed may give quite another model: lower `stride`"),
        (WHOLE, "9 sequences, so that another seed may give quite another model: add data."),
        (TEXT, "9 windows, so that another seed may give quite another model: add data."),
    ],
)
def test_few_windows_are_counted(cuts: dict[str, Any], words: str) -> None:
    assert notes(metrics(), cuts) == []
    (said,) = notes(metrics(training_windows=9), cuts)
    assert said.startswith(f"The training split has only {words}")
    (one,) = notes(metrics(training_windows=1), cuts)
    assert one.startswith(f"The training split has only 1 {words.split()[1].rstrip('s,')}")


def test_the_best_epoch_at_either_end_is_told() -> None:
    (last,) = notes(metrics(best_epoch=20), WINDOWS)
    assert last == (
        "The best epoch is the last, 20 of 20: the training may not be done; raise `epochs` in "
        "[train]."
    )
    (first,) = notes(metrics(best_epoch=1), WINDOWS)
    assert first.startswith("The best epoch is the first, 1 of 20: the validation split got no")
    (only,) = notes(metrics(best_epoch=1, epochs=1), WINDOWS)
    assert only.startswith("The best epoch is the last, 1 of 1:")


def test_errors_say_what_they_are_over() -> None:
    none = "Steps that follow one another are not independent, so there is no interval."
    for count, words in ((1, "1 sequence"), (3, "3 sequences")):
        test = {"per_target": {}, "steps": 3404, "sequences": count}
        (said,) = notes(metrics(test=test), WINDOWS)
        assert said == f"The test errors are over 3,404 steps of {words}. {none}"


def test_a_period_is_told_with_its_consequence() -> None:
    found = {"target": "users", "every": 24, "autocorrelation": 0.8159, "change": 16}
    repeats = "users repeats every 24 steps (autocorrelation 0.82 of its changes over 16 steps): "
    assert season(found | {"used": False}) == (
        f"{repeats}set season = 24 in [data] to compare with the same time a period before."
    )
    used = f"{repeats}that is taken as `season`, which is not set in [data]."
    assert season(found | {"used": True}) == used
    assert notes(metrics(season=found | {"used": True}), WINDOWS) == [used]
