"""The report's sentences about the test split, from answers with figures worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_lstm import Sequence, evaluate
from edge_lstm.results.words import percent
from edge_lstm.tasks import classify, forecast, language, regress
from edge_lstm_export import export_run
from edge_lstm_export.cli.export import summary
from edge_lstm_export.steps import inspect
from edge_lstm_export.steps.write_report import _columns, carried_sentence, verdict
from edge_lstm_export.words import beside
from edge_lstm_runtime import ModelSpec, load
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.tasks.classify import Classify
from edge_lstm_runtime.tasks.forecast import Forecast
from edge_lstm_runtime.tasks.regress import Regress
from helpers.specs import chain

ADVICE = (
    " Reset it at the start of each sequence (`--reset-every`, `Session.reset`), "
    + "or train with a larger `carry`."
)
LAST = "at the last step of each sequence"
NEVER = "When the state is never reset,"
CLASSIFY = ModelSpec(Channels(("a",), (0.0,), (1.0,)), chain(1, 2, 1, 2), Classify(("x", "y")))


def classified(*answers: str) -> dict[str, Any]:
    """answers: of two recordings, of x and of y, the class at each step."""
    recordings = [Sequence(n, n, np.zeros((5, 1)), k) for k, n in enumerate("xy")]
    logits = [np.eye(2)[["xy".index(c) for c in text]] for text in answers]
    return evaluate(CLASSIFY, recordings, logits)


def regressed(targets: str, errors: list[list[float]], task: str = "regress") -> dict[str, Any]:
    """errors: of one recording, for each step those of each target."""
    count = len(targets)
    channels = tuple(targets) if task == "forecast" else ("x",)
    inputs = Channels(channels, (0.0,) * len(channels), (1.0,) * len(channels))
    scaling = {"offset": (0.0,) * count, "scale": (1.0,) * count}
    answer = (
        Forecast(tuple(targets), 1, **scaling)
        if task == "forecast"
        else Regress(tuple(targets), **scaling)
    )
    spec = ModelSpec(inputs, chain(len(channels), 2, 1, count), answer)
    truth = np.arange(len(errors) * count).reshape(-1, count) ** 2.0
    answers = truth + errors
    if task == "forecast":  # the truth of a step is the next sample
        samples = np.concatenate([truth[:1] - 1, truth])
        padded = np.concatenate([answers, truth[:1]])
        return evaluate(spec, [Sequence("s", "s", samples)], [padded])
    return evaluate(spec, [Sequence("s", "s", np.zeros((len(errors), 1)), y=truth)], [answers])


def test_both_shares_of_right_answers_are_said_of_a_state_that_is_never_reset() -> None:
    reset = classified("xxxxx", "xyyyy")
    carried = classified("xxxxx", "xxyyy")
    assert carried_sentence(classify.TASK, reset, carried) == (
        f"{NEVER} the answer {LAST} is right in 100.0 % (reset at each sequence: 100.0 %), "
        f"over all 10 steps in 80.0 % (reset at each sequence: 90.0 %).{ADVICE}"
    )
    same = "over all 10 steps in 90.0 % (reset at each sequence: 90.0 %)."
    assert carried_sentence(classify.TASK, reset, reset).endswith(same)
    last = classified("xxxxx", "yyyyx")  # the same share over all steps
    assert carried_sentence(classify.TASK, reset, last) == (
        f"{NEVER} the answer {LAST} is right in 50.0 % (reset at each sequence: 100.0 %), "
        f"{same}{ADVICE}"
    )


def test_the_errors_of_a_regression_are_said_over_all_steps_and_at_the_last() -> None:
    reset = regressed("a", [[3.0], [3.0], [3.0], [3.0]])
    carried = regressed("a", [[3.0], [3.0], [3.0], [5.0]])
    # sqrt((3 * 9 + 25) / 4) = 3.606
    assert carried_sentence(regress.TASK, reset, carried) == (
        f"{NEVER} the RMSE over all steps is 3.606 (reset at each sequence: 3), "
        f"the RMSE {LAST} is 5 (reset at each sequence: 3).{ADVICE}"
    )


def test_the_errors_of_several_targets_are_said_of_each() -> None:
    reset = regressed("ab", [[1.0, 200.0]] * 4, "forecast")
    carried = regressed("ab", [[1.0, 100.0]] * 4, "forecast")
    assert carried_sentence(forecast.TASK, reset, carried) == (
        f"{NEVER} the RMSE of a is 1 (reset at each sequence: 1), "
        "the RMSE of b is 100 (reset at each sequence: 200)."
    )
    assert carried_sentence(forecast.TASK, carried, reset).endswith(ADVICE)
    assert forecast.TASK.change(reset, carried) == "+100.0 % RMSE of b (the most of 2 targets)"
    assert forecast.TASK.change(carried, reset) == "+0.0 % RMSE of a (the most of 2 targets)"


def test_the_metrics_of_many_targets_are_few_columns() -> None:
    titles = {"mae": "MAE", "rmse": "RMSE", "nrmse": "NRMSE"}
    some = regressed("abcde", [[1.0] * 5] * 4, "forecast")
    many = regressed("abcdef", [[1.0] * 6] * 4, "forecast")
    assert _columns(titles, some) == titles  # 11 columns
    assert _columns(titles, many) == {"nrmse": "NRMSE"}  # in the place of 13
    assert _columns({"mae": "MAE", "rmse": "RMSE"}, many) == {"mae": "MAE", "rmse": "RMSE"}


def test_a_text_takes_bits() -> None:
    reset = {"bits_per_character": 2.0}
    carried = {"bits_per_character": 2.5}
    assert carried_sentence(language.TASK, reset, carried) == (
        f"{NEVER} a character takes 2.5 bits (reset at each sequence: 2).{ADVICE}"
    )


def test_what_a_backend_changes_is_said_with_the_steps_it_is_measured_at() -> None:
    exact = classified("xxxxx", "xyyyy")
    rounded = classified("xxxyy", "xyyyy")
    assert (
        classify.TASK.change(rounded, exact)
        == f"-50.0 points of accuracy {LAST} and -20.0 over all steps"
    )
    assert (
        classify.TASK.change(exact, exact)
        == f"+0.0 points of accuracy {LAST} and +0.0 over all steps"
    )
    one = regressed("a", [[2.0], [2.0]])
    other = regressed("a", [[2.0], [1.0]])
    # sqrt((4 + 1) / 2) = 1.581, which is 20.9 % less than 2.
    assert regress.TASK.change(other, one) == f"-20.9 % RMSE over all steps and -50.0 % RMSE {LAST}"
    nothing = regressed("a", [[0.0], [0.0]])
    assert regress.TASK.change(one, nothing) == f"+inf % RMSE over all steps and +inf % RMSE {LAST}"
    assert (
        regress.TASK.change(nothing, nothing)
        == f"+0.0 % RMSE over all steps and +0.0 % RMSE {LAST}"
    )
    more = {"bits_per_character": 2.1}
    before = {"bits_per_character": 2.0}
    assert language.TASK.change(more, before) == "+5.0 % bits per character"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100.0 %"),
        (0.9996, "more than 99.9 %"),
        (0.9994, "99.9 %"),
        (0.828, "82.8 %"),
        (0.0, "0.0 %"),
    ],
)
def test_a_hundred_percent_is_said_of_all_alone(share: float, text: str) -> None:
    assert percent(share) == text


def right(session: Any, recordings: list[Sequence], *, reset: bool) -> tuple[float, float]:
    """The shares of right answers, at the last step and over all steps, step by step."""
    last = []
    every = []
    session.reset()
    for recording in recordings:
        if reset:
            session.reset()
        every += [int(session.step(x).argmax()) == recording.label for x in recording.x]
        last.append(every[-1])
    return float(np.mean(last)), float(np.mean(every))


def test_the_report_and_metrics_json_have_what_a_board_prints(trained, tmp_path) -> None:
    work = export_run(trained, tmp_path / "motions.edge", schemes=())
    test = trained.splits.test
    with load(work.out).session(backend="reference") as session:
        reset = right(session, test, reset=True)
        order = np.random.default_rng(0).permutation(len(test))
        carried = right(session, [test[n] for n in order], reset=False)
    for found, expected in (("test", reset), ("test, state never reset", carried)):
        metrics = [trained.metrics[found][key] for key in ("accuracy", "accuracy_all_steps")]
        assert metrics == pytest.approx(expected, abs=1e-3)
    assert carried[1] < carried[0]  # else this shows nothing
    said = verdict(work)
    shown = [f"{100 * share:.1f} %" for share in (*reset, *carried)]
    split = "On the 40 sequences of the test split the answer at the last step is right in"
    assert said[0] == f"{split} {shown[0]}, and over all 4,000 steps in {shown[1]}."
    assert said[1].startswith(f"{round(40 * reset[0])} of 40 sequences are right at the last step:")
    assert said[2].startswith(
        f"{NEVER} the answer {LAST} is right in {shown[2]} (reset at each sequence: {shown[0]}), "
        f"over all 4,000 steps in {shown[3]} (reset at each sequence: {shown[1]})."
    )
    assert "accuracy_all_steps" in summary(work)


@pytest.mark.parametrize(
    ("value", "limit", "shown"),
    [
        (2.04e-3, 2e-3, ("2.04e-03", "2.00e-03")),
        (1.27e-5, 1.26e-5, ("1.27e-05", "1.26e-05")),
        (2e-3, 2e-3, ("2.0e-03", "2.0e-03")),
        (0.62, 0.1, ("6.2e-01", "1.0e-01")),
    ],
)
def test_a_figure_beside_its_limit_is_seen_to_be_larger(
    value: float,
    limit: float,
    shown: tuple[str, str],
) -> None:
    assert beside(value, limit) == shown


@pytest.mark.parametrize(
    ("drift", "words"),
    [
        ((1e-3, 1.6e-3), "the error GROWS"),
        ((1e-3, 1.32e-3), "the error grows a little"),
        ((1e-3, 1.001e-3), "no growth"),
        ((1e-3, 0.9e-3), "no growth"),
    ],
)
def test_growth_is_said_as_it_is_printed(drift: tuple[float, ...], words: str) -> None:
    said = inspect._verdict(drift, 1000, ())
    figures = f"NRMSE 1.0e-03 the first time and {drift[1]:.1e} the last"
    assert said == f"over the same 1,000 golden samples 2 times, never reset, {figures}: {words}"
