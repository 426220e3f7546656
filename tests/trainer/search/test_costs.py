"""What a net costs before it is trained, against real files and sums by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm.config.schema import Config
from edge_lstm.data.load import load_data
from edge_lstm.search.budget import Budget
from edge_lstm.search.costs import Costs, bytes_of, over, random_weights, stored_bytes, within
from edge_lstm.search.space import Choice, Range, Space, space_of
from edge_lstm_export.c.block import c_network, model_bytes
from edge_lstm_export.steps.quantize_native import of_run
from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.model.npz import read_npz, write_npz
from helpers.configs import DRAWN
from helpers.specs import make_spec

CLASSIFY = DRAWN.replace("hidden_size = 6", "hidden_size = 32") + "epochs = 2\n"
Configure = Callable[..., Config]


@pytest.fixture
def costs(classify_csv: Path, configure: Configure) -> Costs:  # noqa: ARG001 - writes the data
    config = configure(CLASSIFY)
    return Costs(config, space_of(config), load_data(config), ("float32", "int8"), lambda *_: 1.0)


def values(**changes: Any) -> dict[str, Any]:
    return {
        "type": "lstm",
        "hidden_size": 5,
        "num_layers": 1,
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "transforms": "configured",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "macs"),
    [
        # Two channels, H units, two classes. LSTM: 4 H (2 + H) and 3 H inside the cell; the head
        # 2 H.
        ({"hidden_size": 5}, 4 * 5 * 7 + 3 * 5 + 2 * 5),
        ({"hidden_size": 8, "num_layers": 2}, 4 * 8 * 10 + 24 + 4 * 8 * 16 + 24 + 16),
        ({"type": "rnn", "hidden_size": 6}, 6 * 8 + 2 * 6),
        # A further input for each channel.
        ({"type": "rnn", "hidden_size": 6, "transforms": "difference"}, 6 * 10 + 2 * 6),
        ({"type": "rnn", "hidden_size": 6, "transforms": "distance"}, 6 * 10 + 2 * 6),
    ],
)
def test_multiply_accumulates_by_hand(costs: Costs, changes: dict[str, Any], macs: int) -> None:
    found = costs.of(values(**changes), ("macs", "us"))
    assert found == {f: {"macs": macs, "us": 1.0} for f in ("float32", "int8")}


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("hidden", [4, 7, 16, 33])
def test_bytes_are_those_of_the_c_export(costs: Costs, kind: str, hidden: int) -> None:
    spec = costs.spec(values(type=kind, hidden_size=hidden, num_layers=2))
    for number_format in ("float32", "int8"):
        expected = model_bytes(c_network(spec), number_format)
        assert bytes_of(spec, number_format) == expected


def test_stored_bytes_are_those_of_a_bundles_arrays(trained: Any) -> None:
    """In float32 the weights, in int8 those of int8.npz and the weights that it doesn't have."""
    spec = trained.spec
    weights = read_npz(write_npz(trained.weights), "weights.npz")
    assert stored_bytes(spec.network, "float32") == sum(a.nbytes for a in weights.values())
    int8 = read_npz(write_npz(of_run(trained)), "int8.npz")
    others = [a.nbytes for name, a in weights.items() if name not in int8]
    assert stored_bytes(spec.network, "int8") == sum(a.nbytes for a in int8.values()) + sum(others)


def test_without_the_native_library_those_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_lstm_runtime import native

    monkeypatch.setattr(native, "LIBRARY", Path("/nowhere/lib.so"))
    native.library.cache_clear()
    try:
        spec = make_spec(hidden=4, channels=3, outputs=2)
        # 4 * 4 * (3 + 4 + 1) weights of the LSTM and 4 * 2 + 2 of the head.
        assert bytes_of(spec, "float32") == 4 * (128 + 10)
    finally:
        native.library.cache_clear()


def test_of_a_net_that_no_board_has_no_weights_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_lstm.search.costs.random_weights", lambda _: pytest.fail("made"))
    spec = make_spec(hidden=4096, channels=3, outputs=2)
    parameters = 4 * 4096 * (3 + 4096 + 1) + 2 * 4096 + 2
    assert bytes_of(spec, "float32") == 4 * parameters


def test_a_net_both_ways_has_no_int8(costs: Costs) -> None:
    spec = make_spec(bidirectional=True)
    costs.spec = lambda _: spec  # type: ignore[method-assign]
    assert list(costs.of(values(), ("macs",))) == ["float32"]


def test_random_weights_fit_the_network() -> None:
    spec = make_spec(hidden=5)
    found = random_weights(spec.network)
    spec.network.check_weights(found)
    assert all(np.count_nonzero(array) == array.size for array in found.values())


def narrow(costs: Costs, **limits: float) -> tuple[Space, str]:
    return within(costs, Budget(limits))


def test_sizes_that_can_not_fit_are_left_out(costs: Costs) -> None:
    """The limit is that of the smallest type in its smallest format."""
    space, said = narrow(costs, macs=200)
    sizes = space.sizes
    assert sizes is not None
    # RNN: H (2 + H) + 2 H = H^2 + 4 H. 12 units have 192, 13 have 221.
    assert (sizes.low, sizes.high) == (4, 12)
    assert said == "hidden_size 4 to 12 (not up to 64): more is over macs<=200"
    assert over(costs, Budget({"macs": 200}), values(type="rnn", hidden_size=12)) <= 0
    assert over(costs, Budget({"macs": 200}), values(type="rnn", hidden_size=13)) > 0


def test_one_size_that_fits_is_no_dimension(costs: Costs) -> None:
    space, _ = narrow(costs, macs=44)  # 4 units have 32, 5 have 45
    assert space.sizes is None
    assert space.fixed["hidden_size"] == 4


def test_a_budget_with_room_for_all_leaves_all(costs: Costs) -> None:
    assert narrow(costs, bytes=10_000_000) == (costs.space, "")
    assert narrow(costs) == (costs.space, "")


def test_an_impossible_budget_tells_the_smallest_net(costs: Costs) -> None:
    with pytest.raises(ConfigError) as e:
        narrow(costs, macs=31)
    assert str(e.value) == (
        "--budget macs<=31: no net of the space fits; the smallest one "
        "(rnn, 1 x 4 units, float32) has 32 macs; raise the budget, or lower the ends of [search]"
    )


def test_an_unlimited_time_is_over_any_budget(costs: Costs) -> None:
    slow = Costs(costs.config, costs.space, costs.splits, ("float32",), lambda *_: math.inf)
    with pytest.raises(ConfigError, match="no net of the space fits"):
        within(slow, Budget({"us": 1000}))


def test_the_space_of_a_configuration(costs: Costs) -> None:
    found = {d.name: d for d in costs.space.dimensions}
    assert found["type"] == Choice("type", ("gru", "lstm", "rnn"))
    assert found["hidden_size"] == Range("hidden_size", 4, 64, whole=True)
    assert costs.space.fixed == {"window": None}
