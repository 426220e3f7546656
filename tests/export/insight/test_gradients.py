"""The gradients of `edge-lstm inspect`, against finite differences of the reference and PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from edge_lstm import Sequence
from edge_lstm_export.insight.gradients import measure_gradients
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.backends.reference import Reference
from helpers.inspected import (
    classify_spec,
    forecast_spec,
    normalized,
    run_of,
    sequences,
    text_spec,
    uneven_spec,
)
from helpers.specs import lstm_names


def features_and_loss(
    spec: ModelSpec, sequence: Sequence
) -> tuple[np.ndarray, Callable[[np.ndarray], float]]:
    """The steps that have a loss, (steps, F), and the loss of the answer to the last of them."""
    x = sequence.x
    label = sequence.label
    if spec.answer.task == "forecast":  # two known values do not follow the last two steps
        ahead = x[[14, 14, 15, 15], [1, 0, 1, 0]]
        truth = (ahead - x[13, [1, 0, 1, 0]] - spec.answer.offset) / np.array(spec.answer.scale)
        return normalized(spec, x)[:14], lambda outputs: float(((outputs - truth) ** 2).sum())
    if spec.answer.task == "language":  # no character follows the last one
        xs = np.eye(len(spec.answer.classes))[x[:15, 0].astype(int)]
        label = int(x[15, 0])
    else:
        xs = normalized(spec, x)
    return xs, lambda outputs: float(np.log(np.exp(outputs).sum()) - outputs[label])


@pytest.mark.parametrize(
    "spec",
    [classify_spec(), forecast_spec(residual=True), text_spec()],
    ids=lambda spec: spec.answer.task,
)
def test_gradients_are_finite_differences_through_the_reference(spec: ModelSpec) -> None:
    (sequence,) = test = sequences(spec, 16)
    run = run_of(spec, test)
    found = measure_gradients(run)
    xs, loss_of = features_and_loss(spec, sequence)
    steps = {"classify": 16, "forecast": 14, "language": 15}[spec.answer.task]
    assert len(xs) == steps

    def loss(state: dict[str, np.ndarray], start: int) -> float:
        reference = Reference(spec, run.weights)
        reference.state = state
        for x in xs[start:]:
            outputs = reference.step(x)
        if start == steps:
            outputs = state["lstm1.h"] @ run.weights["head.W"].astype(float) + run.weights["head.b"]
        return loss_of(outputs)

    def moved(which: str, unit: int, change: float) -> dict[str, np.ndarray]:
        state = dict(reference.state)
        h = state["lstm1.h"][unit]
        c = state["lstm1.c"][unit]
        state[f"lstm1.{which}"][unit] += change
        if which == "c":  # h = o tanh(c) follows in the step itself: it goes along
            state["lstm1.h"][unit] = h / np.tanh(c) * np.tanh(c + change)
        return state

    assert found.h[0].shape == (1, steps)
    reference = Reference(spec, run.weights)
    for t, x in enumerate(xs):
        reference.step(x)
        back = steps - 1 - t
        if back not in (1, 2, 7, steps - 1):
            continue
        # The topmost layer alone: what a lower layer puts out at t also enters the layer above
        # at t, which has taken its step here.
        for which, measured in (("h", found.h), ("c", found.c)):
            differences = [
                loss(moved(which, unit, 1e-5), t + 1) - loss(moved(which, unit, -1e-5), t + 1)
                for unit in range(5)
            ]
            norm = np.linalg.norm(differences) / 2e-5
            assert measured[-1][0, back] == pytest.approx(norm, rel=2e-4), (t, which)


def test_gradients_of_windows_are_aligned_at_their_losses() -> None:
    spec = classify_spec()
    test = sequences(spec, 9, 30, 5)
    run = run_of(spec, test, "last")
    found = measure_gradients(run)
    assert found.h[0].shape == (3, 30)
    for row, sequence in enumerate(test):
        alone = measure_gradients(run_of(spec, [sequence], "last"))
        n = len(sequence.x)
        np.testing.assert_allclose(found.c[1][row, :n], alone.c[1][0], rtol=1e-6)
        assert np.isnan(found.c[1][row, n:]).all()
    few = measure_gradients(run, window=7, most=2)
    assert few.windows == 2
    assert few.h[1].shape == (2, 7)


def test_the_unrolled_network_answers_as_torch() -> None:
    from edge_lstm_export.insight.gradients import unroll

    for spec in (classify_spec(layers=3), uneven_spec()):
        run = run_of(spec, [])
        x = torch.randn(4, 11, 3, dtype=torch.float64)
        with torch.no_grad():
            expected, state = run.model.double()(x)
            outputs, hidden, cells = unroll(spec, run.weights, x)
        torch.testing.assert_close(outputs, expected, atol=1e-6, rtol=0)
        for k, name in enumerate(lstm_names(spec)):
            for found, part in ((hidden, "h"), (cells, "c")):
                last = state[f"{name}.{part}"]
                torch.testing.assert_close(found[k][-1], last, atol=1e-6, rtol=0)
