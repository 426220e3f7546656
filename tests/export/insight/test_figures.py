"""What `edge-lstm inspect` measures, against PyTorch, loops and finite differences."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

from edge_lstm import evaluate
from edge_lstm.network import canonical_weights
from edge_lstm_export.insight import inspect_run
from edge_lstm_export.insight.channels import Channels, measure_channels
from edge_lstm_export.insight.gates import measure_gates
from edge_lstm_export.insight.memory import falls_below, growth, measure_memory
from edge_lstm_runtime import ConfigError, ModelSpec
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.backends.reference import Reference
from edge_lstm_runtime.inputs.channels import Channels as ChannelInputs
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.model.network import Network
from edge_lstm_runtime.session import Session
from edge_lstm_runtime.tasks.forecast import Forecast
from helpers.inspected import (
    classify_spec,
    forecast_spec,
    normalized,
    run_of,
    sequences,
    text_spec,
    uneven_spec,
)
from helpers.specs import chain, lstm_names
from helpers.tolerances import assert_close


def test_gates_are_those_of_torch_by_hand() -> None:
    spec = classify_spec()
    test = sequences(spec, 30, 12)
    run = run_of(spec, test)
    found = measure_gates(spec, run.weights, test)
    by_hand: dict[tuple[int, str], list[torch.Tensor]] = {}
    with torch.no_grad():
        for sequence in test:
            inputs = list(torch.from_numpy(normalized(spec, sequence.x)))
            for k in range(2):
                lstm = run.model.module(f"lstm{k}").double().rnn
                w_x, w_h, b_x, b_h = (
                    getattr(lstm, f"{name}_l0")
                    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                )
                h = c = torch.zeros(5, dtype=torch.float64)
                outputs = []
                for x in inputs:
                    a = w_x @ x + b_x + w_h @ h + b_h
                    values = {
                        "i": a[:5].sigmoid(),
                        "f": a[5:10].sigmoid(),
                        "g": a[10:15].tanh(),
                        "o": a[15:].sigmoid(),
                    }
                    c = values["f"] * c + values["i"] * values["g"]
                    h = values["o"] * c.tanh()
                    outputs.append(h)
                    for name, value in values.items():
                        by_hand.setdefault((k, name), []).append(value)
                inputs = outputs
    for (k, name), parts in by_hand.items():
        values = torch.stack(parts).numpy()  # (42, 5)
        end = -1.0 if name == "g" else 0.0
        assert found.mean[k][name] == pytest.approx(values.mean(), rel=1e-6)
        assert found.low[k][name] == pytest.approx((values < end + 0.1).mean())
        assert found.high[k][name] == pytest.approx((values > 0.9).mean())
        assert found.counts[k][name].sum() == values.size
        if name == "f":
            np.testing.assert_allclose(found.memory[k], -1 / np.log(values.mean(axis=0)), rtol=1e-6)
    assert any(found.high[k][g] > 0 for k, g in by_hand)
    assert (found.steps, found.available) == (42, 42)


def test_of_a_long_test_split_each_sequence_has_the_same_share() -> None:
    spec = classify_spec()
    test = sequences(spec, 40, 20)
    run = run_of(spec, test)
    found = measure_gates(spec, run.weights, test, most=30)
    shorter = [dataclasses.replace(s, x=s.x[:n]) for s, n in zip(test, (20, 10), strict=True)]
    assert found.mean == measure_gates(spec, run.weights, shorter).mean
    assert (found.steps, found.available) == (30, 60)
    assert "30 of the 60 steps" in found.sentences()[-1]


def test_a_stuck_gate_is_named() -> None:
    spec = classify_spec()
    test = sequences(spec, 20)
    run = run_of(spec, test)
    assert "No gate is stuck" in measure_gates(spec, run.weights, test).sentences()[-1]
    weights = {name: array.copy() for name, array in run.weights.items()}
    weights["lstm1.b"][5:10] = 40  # the forget gate of layer 2: it never forgets
    found = measure_gates(spec, weights, test)
    assert found.high[1]["f"] == 1
    assert "more than a million" in found.sentences()[1]
    assert "Gate f of layer 2 is at its high end in 100 % of all cases" in found.sentences()[-1]


@pytest.mark.parametrize("missing", ["refuse", "mask"])
def test_a_samples_effect_is_the_finite_difference_of_the_cell(missing: str) -> None:
    spec = classify_spec(missing=missing)
    (recording,) = sequences(spec, 40)
    run = run_of(spec, [recording])
    found = measure_memory(spec, run.weights, recording)
    features = (
        np.concatenate([found.x, np.zeros_like(found.x)], axis=1) if missing == "mask" else found.x
    )

    def cells(xs: np.ndarray) -> np.ndarray:
        """(T, layers, H)"""
        reference = Reference(spec, run.weights)
        rows = []
        for x in xs:
            reference.step(x)
            rows.append([reference.state[f"{name}.c"] for name in lstm_names(spec)])
        return np.array(rows)

    assert_close(np.stack(found.c, axis=1), cells(features), "float64", "c")
    assert found.effect[0].shape == (len(found.starts), 21)
    for row, start in enumerate(found.starts[:3]):
        squares = np.zeros((21, 2))
        for channel in range(3):
            moved = []
            for change in (1e-5, -1e-5):
                xs = features.copy()
                xs[start, channel] += change
                moved.append(cells(xs)[start : start + 21])
            squares += (((moved[0] - moved[1]) / 2e-5) ** 2).sum(axis=2)
        for layer in range(2):
            np.testing.assert_allclose(
                found.effect[layer][row], np.sqrt(squares[:, layer]), rtol=1e-5, atol=1e-9
            )


def test_where_a_curve_falls_below() -> None:
    curve = np.array([1.0, 4.0, 1.9, 2.1, 1.0, 0.3, 0.2])
    assert falls_below(curve, 0.5) == 4
    assert falls_below(curve, 0.1) == 5
    assert falls_below(curve, 0.01) is None
    assert growth(np.array([[9.0], [2.0], [5.0], [4.0]])) == 2
    assert growth(np.zeros((8, 1))) == 1


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("missing", ["refuse", "mask", "ffill"])
def test_occlusion_is_a_forecast_without_the_channel(missing: str, residual: bool) -> None:
    """Each sequence again through the NumPy backend, its features set to the mean by hand."""
    spec = forecast_spec(missing=missing, residual=residual)
    test = sequences(spec, 40, 25, gaps=missing != "refuse")
    run = run_of(spec, test)
    found = measure_channels(run)
    scale = np.array(spec.answer.scale)
    offset = np.array(spec.answer.offset)

    def metrics(channel: int | None) -> dict[str, float]:
        answers = []
        for sequence in test:
            filled = sequence.x.copy()
            last = np.array(spec.inputs.mean)
            for row in filled:
                last = np.where(
                    np.isnan(row), last if missing == "ffill" else spec.inputs.mean, row
                )
                row[:] = last
            xs = normalized(spec, filled)
            if missing == "mask":
                xs = np.concatenate([xs, np.isnan(sequence.x)], axis=1)
            if channel is not None:
                xs[:, channel :: spec.inputs.size] = 0
            answer = numpy_backend(spec, run.weights).run(xs.astype(np.float32)) * scale + offset
            answers.append(answer + filled[:, [1, 0, 1, 0]] if residual else answer)
        return evaluate(spec, test, answers)

    for measured, channel in (
        (found.intact, None),
        (found.occluded["a"], 0),
        (found.occluded["b"], 1),
    ):
        expected = metrics(channel)
        assert measured == {
            key: pytest.approx(expected[key], rel=1e-5) for key in ("nrmse",)
        }  # two targets have no common unit
    assert found.occluded["a"]["nrmse"] != pytest.approx(found.intact["nrmse"], rel=1e-4)
    assert found.harm("a", "nrmse") == found.occluded["a"]["nrmse"] - found.intact["nrmse"]


def test_a_channel_that_nothing_reads_does_not_matter() -> None:
    spec = classify_spec()
    test = sequences(spec, *[20] * 12)
    run = run_of(spec, test)
    with torch.no_grad():
        weight = run.model.module("lstm0").rnn.weight_ih_l0
        weight[:, 1] = 0
        weight *= 4  # and the others count enough to change an answer
        run.model.module("head").linear.bias.zero_()
        for sequence in test:  # answers are right by definition, so that any change is a loss
            answer = Session(spec, numpy_backend(spec, canonical_weights(run.model))).run(
                sequence.x
            )
            object.__setattr__(sequence, "label", int(answer[-1].argmax()))
    found = measure_channels(run)
    assert found.intact["accuracy"] == 1
    assert found.occluded["b"] == found.intact
    assert found.harm("b", "accuracy") == 0
    assert max(found.harm(name, "accuracy_all_steps") for name in "ac") > 0
    assert found.order[-1] == "b"
    assert found.sentences()[-1].endswith("each by itself: b.")


@pytest.mark.parametrize(
    ("intact", "a", "b", "said"),
    [
        (
            2.0,
            3.0,
            2.5,
            ["The RMSE is 2; it rises without a to 3; without b to 2.5. a matters most."],
        ),
        (2.0, 3.0, 3.0, ["The RMSE is 2; it rises without a to 3; without b to 3."]),
        (2.0, 3.00001, 3.0, ["The RMSE is 2; it rises without a to 3; without b to 3."]),
        (
            2.0,
            3.0,
            2.00001,
            [
                "The RMSE is 2; it rises without a to 3. a matters most.",
                "It gets no worse without 1 of the 2, each by itself: b.",
            ],
        ),
        (
            2.0,
            2.00001,
            1.0,
            [
                "With each channel in turn held at its mean the RMSE gets no worse than it is, 2: "
                "nothing hangs on it alone."
            ],
        ),
    ],
)
def test_what_four_digits_do_not_show_is_no_difference(
    intact: float, a: float, b: float, said: list[str]
) -> None:
    assert Channels({"rmse": intact}, {"a": {"rmse": a}, "b": {"rmse": b}}).sentences() == said


@pytest.mark.parametrize(
    ("idle", "named"),
    [
        ("bcdef", "b, c, d, e, f."),
        ("bcdefg", "b, c, d, e, f and 1 more."),
        ("bcdefghi", "b, c, d, e, f and 3 more."),
    ],
)
def test_of_many_channels_without_effect_five_are_named(idle: str, named: str) -> None:
    occluded = {"a": {"rmse": 3.0}} | {name: {"rmse": 2.0} for name in idle}
    said = Channels({"rmse": 2.0}, occluded).sentences()
    assert said == [
        "The RMSE is 2; it rises without a to 3. a matters most.",
        f"It gets no worse without {len(idle)} of the {len(idle) + 1}, each by itself: {named}",
    ]


def test_all_figures_are_json_and_every_look_says_something() -> None:
    alone = ChannelInputs(("a",), (0.0,), (1.0,))
    ahead = Forecast(("a",), 4, (0.0,) * 4, (1.0,) * 4)
    one_layer = ModelSpec(alone, chain(1, 5, 1, 4), ahead)
    for spec in (classify_spec(), text_spec(), one_layer, uneven_spec()):
        run = run_of(spec, sequences(spec, 60, 20))
        figures = json.loads(json.dumps(inspect_run(run).to_dict(), allow_nan=False))
        looks = {
            "gates",
            "memory",
            "context" if spec.answer.task == "language" else "channels",
            "gradients",
        }
        assert {
            name for name, look in figures.items() if isinstance(look, dict) and look["sentences"]
        } == looks
        assert len(figures["gates"]["layers"]) == len(lstm_names(spec))
        assert figures["memory"]["recording"] == "s0"


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ((Dense("a", ("x",), 5), Dense("b", ("a",), 5)), "dense 5 -> dense 5 -> dense 3"),
        ((Lstm("a", ("x",), 5), Dense("b", ("a",), 4)), "lstm 5 -> dense 4 -> dense 3"),
        ((Lstm("a", ("x",), 5), Lstm("b", ("a", "x"), 4)), "lstm 5 -> lstm 4 -> dense 3"),
    ],
)
def test_another_network_is_refused_in_one_line(layers: tuple[Any, ...], told: str) -> None:
    spec = classify_spec()
    spec = ModelSpec(spec.inputs, Network(3, (*layers, Dense("head", ("b",), 3))), spec.answer)
    run = run_of(spec, sequences(spec, 20))
    with pytest.raises(ConfigError) as refused:
        inspect_run(run)
    assert str(refused.value) == (
        f"the network is {told}; inspect looks inside LSTM layers one after the other, "
        "with a dense head after the last"
    )
