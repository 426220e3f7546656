"""The backend "tosa": 1,000 carried steps to the bit, streams, states, what it refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.registry import facts_of, open_backend
from helpers.tosa_recorded import FILES, Recorded

STEPS = 1000


@pytest.fixture(scope="module", params=FILES)
def recorded(request: pytest.FixtureRequest) -> Recorded:
    return Recorded(request.param)


@pytest.fixture(scope="module")
def bundle(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> rt.Bundle:
    return recorded.bundle(tmp_path_factory.mktemp("tosa"))


def test_1000_carried_steps_equal_the_reference_model(
    recorded: Recorded, bundle: rt.Bundle
) -> None:
    backend = open_backend("tosa", bundle)
    for n in range(STEPS):
        y = backend.step(recorded.floats["x"][n])
        assert np.array_equal(y, recorded.floats["y"][n]), n
        for name, array in backend.state.items():
            assert np.array_equal(array, recorded.states[name][n]), (name, n)
    assert float(np.ptp(recorded.floats["y"])) > 0.1  # it does move


def test_streams_answer_as_each_alone(recorded: Recorded, bundle: rt.Bundle) -> None:
    x = recorded.floats["x"]
    together = open_backend("tosa", bundle, streams=3)
    feeds = np.stack([x[:50], x[100:150], x[-50:]], 1)  # (50, 3, 8)
    found = together.run(feeds)
    state = together.state
    for k in range(3):
        alone = open_backend("tosa", bundle)
        assert np.array_equal(alone.run(feeds[:, k]), found[:, k])
        for name, array in alone.state.items():
            assert np.array_equal(array, state[name][k])


def test_one_stream_is_reset_among_others(recorded: Recorded, bundle: rt.Bundle) -> None:
    x = recorded.floats["x"][:20]
    backend = open_backend("tosa", bundle, streams=2)
    first = backend.run(np.stack([x, x], 1))
    backend.reset_streams([1])
    second = backend.run(np.stack([x, x], 1))
    assert np.array_equal(second[:, 1], first[:, 1])
    assert not np.array_equal(second[:, 0], first[:, 0])


def test_a_state_comes_back_to_the_bit(recorded: Recorded, bundle: rt.Bundle) -> None:
    x = recorded.floats["x"]
    backend = open_backend("tosa", bundle)
    backend.run(x[:300])
    kept = backend.state
    expected = backend.run(x[300:340])
    backend.reset()
    backend.state = kept
    assert np.array_equal(backend.run(x[300:340]), expected)
    with pytest.raises(rt.BackendError, match="expected arrays named"):
        backend.state = {"h": np.zeros(16)}


def test_numbers_beyond_the_type_become_its_ends(recorded: Recorded, bundle: rt.Bundle) -> None:
    most = float(recorded.program["edges"]["x"]["scale"]) * 40_000
    backend = open_backend("tosa", bundle)
    beyond = backend.step(np.full(8, 1e30, np.float32))
    backend.reset()
    assert np.array_equal(backend.step(np.full(8, most, np.float32)), beyond)


def test_a_state_with_a_scale_for_each_value(recorded: Recorded, tmp_path: Path) -> None:
    """The integers are the same, so the answers are. The state's numbers have its scales."""
    name = next(iter(recorded.states))
    other = copy.copy(recorded)
    other.program = copy.deepcopy(recorded.program)
    columns = [2.0 ** -(k % 4) for k in range(16)]
    other.program["edges"][name]["columns"] = columns
    backend = open_backend("tosa", other.bundle(tmp_path))
    x = recorded.floats["x"][:30]
    assert np.array_equal(backend.run(x), recorded.floats["y"][:30])
    kept = backend.state
    assert np.array_equal(kept[name], recorded.states[name][29] * np.float32(columns))
    expected = backend.run(x)
    backend.reset()
    backend.state = kept
    assert np.array_equal(backend.run(x), expected)


def test_a_session_takes_it(recorded: Recorded, bundle: rt.Bundle) -> None:
    session = rt.Model(bundle).session("tosa", artifact="a.tosa", verify=False)
    assert session.run(recorded.floats["x"][:5]).shape == (5, 4)


def test_its_facts_keep_it_out_of_auto() -> None:
    facts = facts_of("tosa")
    assert (facts.auto, facts.artifact, facts.needs) == (False, "tosa", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p["edges"].pop("y"), "'y' is missing"),
        (lambda p: p["edges"]["x"].update(scale=0.0), r"the scale of x is 0\.0; expected"),
        (lambda p: p["edges"]["x"].update(zero_point=70_000), "the zero_point of x is 70000"),
        (lambda p: p["edges"]["x"].update(columns=[1.0, 2.0]), "columns of x are not 8 numbers"),
        (lambda p: p["edges"]["x"].update(columns=[0.0] * 8), "columns of x are not 8 numbers"),
        (lambda p: p["outputs"].pop(), "inputs and"),
        (lambda p: p["outputs"].reverse(), "goes in as"),
    ],
)
def test_a_program_of_another_network_is_refused(
    recorded: Recorded, tmp_path: Path, change: Callable[[Any], None], words: str
) -> None:
    other = copy.copy(recorded)
    other.program = copy.deepcopy(recorded.program)
    change(other.program)
    with pytest.raises(rt.BundleError, match=rf"^a\.tosa does not fit .*{words}"):
        open_backend("tosa", other.bundle(tmp_path))
