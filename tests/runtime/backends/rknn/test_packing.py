"""How features and states are put into a converted graph's inputs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_runtime import BundleError, Model, write_bundle
from edge_lstm_runtime.backends.rknn.packing import PINS, Packing, spread
from helpers.arrays import Array
from helpers.bundles import artifact_entry, members_of
from helpers.specs import make_spec
from helpers.weights import random_weights

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


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no form": ({}, "form is missing; expected one of cell, lstm, packed"),
    "another form": ({"form": "tensor"}, "form is 'tensor'; expected one of cell, lstm, packed"),
    "a form that is a list": ({"form": ["cell"]}, "form is ['cell']; expected one of cell"),
    "steps": ({"form": "lstm", "steps": 0}, "steps is 0; expected a whole number from 1"),
    "half a step": ({"form": "lstm", "steps": 2.0}, "steps is 2.0; expected a whole number from 1"),
    "steps of a cell": ({"form": "cell", "steps": 4}, "steps is 4; expected 1, unless the form is"),
    "packed alone": ({"form": "packed"}, "parts is missing; expected 1 to 1024"),
    "no parts": ({"parts": 0}, "parts is 0; expected 1 to 1024"),
    "too many parts": ({"parts": 2**40}, "parts is 1099511627776; expected 1 to 1024"),
    "true parts": ({"parts": True}, "parts is True; expected 1 to 1024"),
    "no range": ({"x_range": None}, "x_range is None; expected 3 numbers above 0"),
    "a range too few": ({"x_range": [1.0, 2.0]}, "x_range is [1.0, 2.0]; expected 3 numbers"),
    "a range of 0": ({"x_range": [1, 0, 1]}, "x_range is [1, 0, 1]; expected 3 numbers above 0"),
    "a range of text": ({"x_range": "123"}, "x_range is '123'; expected 3 numbers above 0"),
    "inputs as text": ({"inputs": "v"}, "inputs is 'v'; expected pairs of v or exact and one"),
    "an input that is no pair": ({"inputs": [["v"]]}, "inputs is [['v']]; expected pairs of v or"),
    "an unknown state": ({"inputs": [["v", "gru0.h"]]}, "inputs is [['v', 'gru0.h']]; expected"),
    "an unknown kind": ({"inputs": [["w", "lstm0.h"]]}, "inputs is [['w', 'lstm0.h']]; expected"),
    "the features twice":
        ({"inputs": [["x", ""], ["x", ""], ["v", "lstm0.h"]]}, "inputs is [['x', ''], ['x', ''], "),
    "the features nowhere":
        ({"inputs": [["exact", "lstm0.c"], ["v", "lstm0.h"]]}, "inputs is [['exact', 'lstm0.c'], "),
}  # fmt: skip


@pytest.mark.parametrize(("io", "message"), WRONG.values(), ids=WRONG)
def test_a_recipe_that_can_not_be_followed_is_one_line(
    io: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """At the opening of the backend, with or without the vendor's library."""
    if io and "form" not in io:
        io = {"form": "packed", "parts": 2, "x_range": [1.0, 2.0, 3.0], "inputs": INPUTS, **io}
    with pytest.raises(BundleError, match=rf"^recipe\.io\.{re.escape(message)}"):
        Packing(io, features=3, states=STATES)
    if (
        not isinstance(io.get("form"), str)
        or type(io.get("steps", 1)) is not int
        or not io.get("steps", 1)
    ):
        return  # the bundle is refused already
    spec = make_spec(hidden=4, layers=2)
    weights = random_weights(spec)
    members = {**members_of(spec, weights), "a.rknn": b"RKNN"}
    entry = artifact_entry() | {"recipe": {"io": io}}
    bundle = write_bundle(tmp_path / "a.edge", spec, weights, members, artifacts={"a.rknn": entry})
    with pytest.raises(
        BundleError,
        match=rf"^the manifest's entry for a\.rknn: recipe\.io\.{re.escape(message)}",
    ) as caught:
        Model(bundle).session("rknn")
    assert "\n" not in str(caught.value)


STATES = {"lstm0.h": 4, "lstm0.c": 4, "lstm1.h": 4, "lstm1.c": 4}
INPUTS = [["v", "lstm0.h"], ["exact", "lstm0.c"], ["v", "lstm1.h"], ["exact", "lstm1.c"]]


def packed(**io: Any) -> Packing:
    io = {"form": "packed", "parts": 2, "x_range": [1.0, 2.0, 3.0], "inputs": INPUTS, **io}
    return Packing(io, features=3, states=STATES)


def random_state() -> dict[str, Array]:
    return {n: RNG.uniform(-1, 1, size).astype(np.float32) for n, size in STATES.items()}


def test_packed_inputs_hold_zeros_parts_and_h() -> None:
    packing = packed()
    assert [a.shape for a in packing.inputs] == [
        (1, 1, 1, PINS + 6 + 4),
        (1, 1, 1, 4),
        (1, 1, 1, PINS + 4),
        (1, 1, 1, 4),
    ]
    half = np.full(4, 0.5, np.float32)
    state = random_state() | {"lstm0.h": half, "lstm1.h": half}
    packing.state = state
    packing.put(np.array([1.0, -2.0, 0.0]))
    v0, c0, v1, c1 = (a.ravel() for a in packing.inputs)
    np.testing.assert_array_equal(v0[:PINS], 0)
    np.testing.assert_allclose(127 * v0[PINS : PINS + 6], [127, -127, 0, 127, -127, 0], atol=1)
    np.testing.assert_allclose(v0[PINS + 6 :], 64 / 127)  # 0.5 is 63.5 steps
    np.testing.assert_allclose(v1[PINS:], 64 / 127)
    np.testing.assert_array_equal(c0, state["lstm0.c"])
    np.testing.assert_array_equal(c1, state["lstm1.c"])


def test_x_is_an_input_of_its_own_and_is_not_rounded() -> None:
    packing = Packing({"form": "packed", "inputs": [["x", ""], *INPUTS]}, features=3, states=STATES)
    sizes = [3, PINS + 4, 4, PINS + 4, 4]
    assert [a.shape for a in packing.inputs] == [(1, 1, 1, size) for size in sizes]
    state = random_state() | {"lstm0.h": np.full(4, 0.5, np.float32)}
    packing.state = state
    packing.put(np.array([1.0, -2000.0, 0.001]))
    x, v0, c0, _, _ = (a.ravel() for a in packing.inputs)
    np.testing.assert_array_equal(x, np.array([1.0, -2000.0, 0.001], np.float32))
    np.testing.assert_allclose(v0, [0, 0, *[64 / 127] * 4])
    np.testing.assert_array_equal(c0, state["lstm0.c"])


def test_what_rounding_leaves_out_is_made_up_for() -> None:
    packing = packed()
    h = []
    rounded = []
    for _ in range(400):
        state = RNG.uniform(-0.9, 0.9, (2, 4)).astype(np.float32)
        packing.take([np.zeros(3), *(part for k in range(2) for part in (state[k], state[k]))])
        h.append(state[0])
        rounded.append(packing.inputs[0].ravel()[PINS + 6 :].copy())
    sums = np.cumsum(np.array(h, np.float64) - rounded, axis=0)
    assert np.abs(sums).max() <= 0.5 / 127 + 1e-4, "the rounding errors add up"


def test_the_state_is_exact_although_the_input_is_rounded() -> None:
    packing = packed()
    state = random_state()
    packing.state = state
    assert list(packing.state) == list(state)
    for name, expected in state.items():
        np.testing.assert_array_equal(packing.state[name], expected)


@pytest.mark.parametrize(
    "io", [{"form": "cell"}, {"form": "lstm", "steps": 1}, {"form": "lstm", "steps": 4}]
)
def test_outputs_are_copied(io: dict[str, object]) -> None:
    packing = Packing(io, features=3, states={"lstm0.h": 4, "lstm0.c": 4})
    y = RNG.normal(size=(packing.steps, 2)).astype(np.float32)
    h = np.ones(4, np.float32)
    c = np.ones(4, np.float32)
    answer = packing.take([y, h, c])
    y[:] = 9
    h[:] = 9
    c[:] = 9
    assert answer.max() < 9
    assert [part.max() for part in packing.state.values()] == [1, 1]


def test_wrong_outputs_leave_the_state_alone() -> None:
    packing = packed()
    with pytest.raises(
        ValueError, match=r"states of \[4, 4, 5, 4\] values, expected \[4, 4, 4, 4\]"
    ):
        packing.take([np.zeros(3), np.ones(4), np.ones(4), np.ones(5), np.ones(4)])
    assert not any(part.any() for part in packing.state.values())


def test_other_states_stand_where_the_recipe_says() -> None:
    """A layer without an exact state, and one whose exact state comes first."""
    states = {"gru0.h": 3, "lstm1.h": 2, "lstm1.c": 2}
    inputs = [["v", "gru0.h"], ["exact", "lstm1.c"], ["v", "lstm1.h"]]
    io = {"form": "packed", "parts": 1, "x_range": [1.0], "inputs": inputs}
    packing = Packing(io, features=1, states=states)
    assert [a.size for a in packing.inputs] == [PINS + 1 + 3, 2, PINS + 2]
    y, h0, h1, c1 = (np.full(n, v, np.float32) for n, v in ((1, 9), (3, 1), (2, -1), (2, 0.3)))
    packing.take([y, h0, h1, c1])
    packing.put(np.array([1.0]))
    v0, c, v1 = (a.ravel() for a in packing.inputs)
    np.testing.assert_allclose(v0, [0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(c, c1)
    np.testing.assert_allclose(v1, [0, 0, -1, -1])


def test_of_format_1_the_recipe_named_no_inputs() -> None:
    old = packed(inputs=None)
    new = packed()
    state = random_state()
    for packing in (old, new):
        packing.state = state
        packing.put(np.array([1.0, -2.0, 0.0]))
    for found, expected in zip(old.inputs, new.inputs, strict=True):
        np.testing.assert_array_equal(found, expected)
