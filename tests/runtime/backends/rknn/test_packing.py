"""How features and states are put into a converted graph's inputs."""

from __future__ import annotations

import numpy as np
import pytest

from edge_lstm_runtime.backends.rknn.packing import PINS, Packing, spread

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("parts", [1, 2, 5, 16])
def test_parts_lie_on_the_int8_grid_and_their_mean_is_finer(parts: int) -> None:
    x_range = np.array([2.0, 0.5, 7.0])
    x = RNG.uniform(-0.9, 0.9, (500, 3)) * x_range
    found = spread(x, x_range, parts)
    assert found.shape == (500, 3 * parts)
    np.testing.assert_allclose(127 * found, np.rint(127 * found), atol=1e-9)
    mean = found.reshape(500, parts, 3).mean(axis=1) * x_range
    assert (np.abs(mean - x) <= x_range / 127 / parts / 2 + 1e-12).all()


def test_parts_are_clipped_not_wrapped() -> None:
    found = spread(np.array([50.0, -50.0]), np.array([1.0, 1.0]), 2)
    np.testing.assert_allclose(found, [1, -128 / 127, 1, -128 / 127])


def packed() -> Packing:
    return Packing({"form": "packed", "parts": 2, "x_range": [1.0, 2.0, 3.0]}, features=3, hidden=4, layers=2)


def test_packed_inputs_hold_zeros_parts_and_h() -> None:
    packing = packed()
    assert [a.shape for a in packing.inputs] == [(1, 1, 1, PINS + 6 + 4), (1, 1, 1, 4), (1, 1, 1, PINS + 4), (1, 1, 1, 4)]
    h, c = np.full((2, 4), 0.5, np.float32), RNG.normal(size=(2, 4)).astype(np.float32)
    packing.state = h, c
    packing.put(np.array([1.0, -2.0, 0.0]))
    v0, c0, v1, c1 = (a.ravel() for a in packing.inputs)
    np.testing.assert_array_equal(v0[:PINS], 0)
    np.testing.assert_allclose(127 * v0[PINS : PINS + 6], [127, -127, 0, 127, -127, 0], atol=1)
    np.testing.assert_allclose(v0[PINS + 6 :], 64 / 127)  # 0.5 is 63.5 steps
    np.testing.assert_allclose(v1[PINS:], 64 / 127)
    np.testing.assert_array_equal(c0, c[0])
    np.testing.assert_array_equal(c1, c[1])


def test_what_rounding_leaves_out_is_made_up_for() -> None:
    packing = packed()
    h, rounded = [], []
    for _ in range(400):
        state = RNG.uniform(-0.9, 0.9, (2, 4)).astype(np.float32)
        packing.take([np.zeros(3), *(part for k in range(2) for part in (state[k], state[k]))])
        h.append(state[0])
        rounded.append(packing.inputs[0].ravel()[PINS + 6 :].copy())
    sums = np.cumsum(np.array(h, np.float64) - rounded, axis=0)
    assert np.abs(sums).max() <= 0.5 / 127 + 1e-4, "the rounding errors add up"


def test_the_state_is_exact_although_the_input_is_rounded() -> None:
    packing = packed()
    h, c = (RNG.uniform(-1, 1, (2, 4)).astype(np.float32) for _ in range(2))
    packing.state = h, c
    for found, expected in zip(packing.state, (h, c), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("io", [{"form": "cell"}, {"form": "lstm", "steps": 1}, {"form": "lstm", "steps": 4}])
def test_outputs_are_copied(io: dict[str, object]) -> None:
    packing = Packing(io, features=3, hidden=4, layers=1)
    y, h, c = RNG.normal(size=(packing.steps, 2)).astype(np.float32), np.ones(4, np.float32), np.ones(4, np.float32)
    answer = packing.take([y, h, c])
    y[:], h[:], c[:] = 9, 9, 9
    assert answer.max() < 9
    assert packing.state[0].max() == packing.state[1].max() == 1


def test_wrong_outputs_leave_the_state_alone() -> None:
    packing = packed()
    with pytest.raises(ValueError, match="expected 4 of 4"):
        packing.take([np.zeros(3), np.ones(4), np.ones(4), np.ones(5), np.ones(4)])
    assert not packing.state[0].any()
