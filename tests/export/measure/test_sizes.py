"""How large a net's values get, and what float16 makes of them, against loops by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edge_lstm_export.measure import sizes as module
from edge_lstm_export.measure.sizes import Size, sizes
from edge_lstm_runtime import ModelSpec
from helpers.arrays import Array, Weights
from helpers.weights import random_model


def lstm(weights: Weights, xs: Array, half: str = "") -> tuple[Array, Array, Array]:
    """The states c and h and the answers of one LSTM and a dense layer, by the equations.

    half: "x", "c" or "h", which is rounded to float16 at each step.
    """

    def put(name: str, value: Array) -> Array:
        return value.astype(np.float16).astype(np.float64) if name == half else value

    def sigmoid(a: Array) -> Array:
        return 1 / (1 + np.exp(-a))

    W_x, W_h, b = (weights[f"lstm0.{n}"].astype(np.float64) for n in ("W_x", "W_h", "b"))
    h = np.zeros(len(W_h))
    c = np.zeros(len(W_h))
    found: list[tuple[Array, Array, Array]] = []
    for x in xs:
        i, f, g, o = np.split(put("x", x) @ W_x + h @ W_h + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        y = sigmoid(o) * np.tanh(c)
        c = put("c", c)
        h = put("h", y)
        found.append((c, h, y @ weights["head.W"] + weights["head.b"]))
    states, hs, ys = zip(*found, strict=True)
    return np.stack(states), np.stack(hs), np.stack(ys)


@pytest.fixture
def model() -> tuple[ModelSpec, Weights]:
    return random_model(1, 6, channels=3)


def by_name(found: list[Size]) -> dict[str, Size]:
    return {one.name: one for one in found}


def test_sizes_and_errors_are_those_of_a_loop_by_hand(
    model: tuple[ModelSpec, Weights], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 70)
    xs = np.random.default_rng(0).normal(size=(300, 3)) * 3
    found = by_name(sizes(*model, xs))
    c, h, y = lstm(model[1], xs)
    assert list(found) == ["x", "lstm0.h", "lstm0.c", "head"]
    for name, values in (("x", xs), ("lstm0.c", c), ("lstm0.h", h), ("head", y)):
        step, unit = np.unravel_index(np.abs(values).argmax(), values.shape)
        one = found[name]
        assert one.largest == pytest.approx(np.abs(values).max(), rel=1e-12)
        assert (one.step, one.unit) == (step, unit), name
    for name, half in (("x", "x"), ("lstm0.c", "c")):
        rounded = lstm(model[1], xs, half)[2]
        error = np.sqrt(((rounded - y) ** 2).mean()) / y.std()
        assert error > 1e-6
        assert found[name].error == pytest.approx(error, rel=1e-6)
    assert [one.is_state for one in found.values()] == [False, True, True, False]
    assert not any(one.grows for one in found.values())


def test_the_last_steps_alone_are_rounded(
    model: tuple[ModelSpec, Weights], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the state that the exact net has there."""
    monkeypatch.setattr(module, "STREAMED", 1)
    xs = np.random.default_rng(0).normal(size=(40, 3))
    c, h, y = lstm(model[1], xs)
    last = xs[-1:].astype(np.float16).astype(np.float64)
    W_x, W_h, b = (model[1][f"lstm0.{n}"].astype(np.float64) for n in ("W_x", "W_h", "b"))
    i, f, g, o = np.split(last[0] @ W_x + h[-2] @ W_h + b, 4)
    new = c[-2] / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
    rounded = np.tanh(new) / (1 + np.exp(-o)) @ model[1]["head.W"] + model[1]["head.b"]
    error = np.sqrt(((rounded - y[-1]) ** 2).mean()) / y[-1].std()
    assert by_name(sizes(*model, xs))["x"].error == pytest.approx(error, rel=1e-6)


def counting(model: tuple[ModelSpec, Weights], keep: float) -> Weights:
    """The same with c = keep * c + 1 in its first unit."""
    weights = {name: array.copy() for name, array in model[1].items()}
    for gate, value in enumerate((30.0, 30.0 if keep == 1 else np.log(keep / (1 - keep)), 30.0)):
        weights["lstm0.W_x"][:, 6 * gate] = 0
        weights["lstm0.W_h"][:, 6 * gate] = 0
        weights["lstm0.b"][6 * gate] = value
    return weights


@pytest.mark.parametrize(("keep", "largest", "grows"), [(1.0, 400, True), (0.95, 20, False)])
def test_a_state_that_counts_still_grows(
    model: tuple[ModelSpec, Weights], keep: float, largest: float, grows: bool
) -> None:
    xs = np.random.default_rng(0).normal(size=(400, 3))
    c = by_name(sizes(model[0], counting(model, keep), xs))["lstm0.c"]
    assert c.largest == pytest.approx(largest, rel=1e-4)
    assert c.unit == 0
    assert c.grows == grows
    if grows:
        assert c.parts == pytest.approx((50.5, 150.5, 250.5, 350.5), rel=1e-4)
        assert c.step == 399


@pytest.mark.parametrize(
    ("value", "spacing"),
    [(820.0, 0.5), (1.001, 2**-10), (0.999, 2**-11), (40000.0, 32.0), (0.0, 2**-24)],
)
def test_the_spacing_of_float16(value: float, spacing: float) -> None:
    assert Size("x", False, value, 0, 0, 0.0, (0.0,) * 4).spacing == spacing
    assert float(np.spacing(np.float16(value))) == spacing


def test_samples_that_are_fewer_than_the_quarters(model: tuple[ModelSpec, Weights]) -> None:
    (x, *_) = sizes(*model, np.ones((2, 3)))
    assert x.largest == 1
    assert not x.grows
