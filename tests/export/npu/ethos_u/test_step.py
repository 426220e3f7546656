"""The step on integers, in PyTorch, against the float64 reference. ExecuTorch isn't there yet."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_lstm_export.npu.ethos_u.compiler import inside
from edge_lstm_export.npu.ethos_u.compiler.grids import Grid, between
from edge_lstm_export.npu.ethos_u.compiler.step import answers, quantized
from edge_lstm_export.npu.ethos_u.compiler.tape import FORMS, Form, Tape
from edge_lstm_export.npu.ethos_u.compiler.values import Value
from edge_lstm_export.npu.ethos_u.rounding import rounded
from edge_lstm_runtime import Reference, compare
from edge_lstm_runtime.model.network import network_from
from helpers.calibration import calibration_for
from helpers.specs import feature_rows, mixed_spec, normed_spec, one_layer_spec
from helpers.weights import counting_weights, random_weights

STEPS = 60
SIZES = {"x": 3, "r0.h": 13, "r0.c": 13}


def streamed(step, rows, network):
    """(steps, O) on integers, the state carried, and the last states."""
    edges = step.edges
    states = [edges[n].quantize(torch.zeros(1, size)) for n, size in network.state.items()]
    found = []
    with torch.no_grad():
        for row in rows:
            x = edges["x"].quantize(torch.tensor(row[None], dtype=torch.float32))
            y, *states = step(x, *states)
            found.append(edges["y"].dequantize(y).numpy()[0])
    return np.stack(found), states


def error(spec, form):
    weights = random_weights(spec)
    step = quantized(spec.network, weights, form, calibration_for(spec, weights, 200))
    rows = feature_rows(spec, STEPS)
    found, states = streamed(step, rows, spec.network)
    for name, state in zip(spec.network.state, states, strict=True):
        assert state.dtype == {8: torch.int8, 16: torch.int16}[step.edges[name].bits]
    return compare(found, Reference(spec, weights).run(rows)).nrmse


KINDS = [
    ("lstm", {}),
    ("gru", {}),
    ("gru", {"linear_before_reset": False}),
    ("rnn", {}),
    ("rnn", {"activation": "relu"}),
    ("causal-conv", {"kernel": 3}),
    ("causal-conv", {"kernel": 2, "dilation": 2, "activation": "tanh"}),
]


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
def test_fine_weights_of_two_int8_follow_the_reference(kind, options):
    assert error(one_layer_spec(kind, **options), Form(16, fine=True)) < 1e-3


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
def test_one_int8_for_a_weight_is_coarser(kind, options):
    """Half a step of 1 / 127 for each weight, over tens of weights."""
    assert 1e-4 < error(one_layer_spec(kind, **options), Form(16)) < 2e-2


@pytest.mark.parametrize(
    ("scheme", "form", "limit"),
    [("a16w8", "fine", 1e-3), ("a16w8", "plain", 1e-2), ("a8w8", "mixed", 3e-2)],
)
def test_a_graph_of_skips_and_activations(scheme, form, limit):
    assert error(mixed_spec(), FORMS[scheme][form]) < limit


def test_int8_of_a_small_state_has_a_small_step():
    """The states of this net stay within a fraction of -1 to 1, and int8 takes that range."""
    spec = one_layer_spec("lstm")
    weights = {name: 0.1 * array for name, array in random_weights(spec).items()}
    samples = calibration_for(spec, weights, 200)
    extreme = np.abs(samples["r0.h"]).max()
    assert extreme < 0.2
    step = quantized(spec.network, weights, Form(8), samples)
    assert extreme <= step.edges["r0.h"].range[1] < 1.2 * extreme


def test_int8_everywhere_is_the_coarsest():
    spec = one_layer_spec("lstm")
    plain, mixed = (error(spec, FORMS["a8w8"][form]) for form in ("plain", "mixed"))
    assert mixed < plain < 1e-1


def test_states_go_in_and_out_on_one_grid():
    spec = one_layer_spec("lstm")
    weights = random_weights(spec)
    samples = calibration_for(spec, weights, 200)
    step = quantized(spec.network, weights, Form(16), samples)
    assert step.edges["r0.h"] == Grid(2**-15, 0, 16)  # -1 to 1, and 0 is exact
    extreme = np.abs(samples["r0.c"]).max()
    assert 1.9 * extreme < step.edges["r0.c"].range[1] < 2.1 * extreme
    x, *states = (step.edges[n].quantize(torch.zeros(1, k)) for n, k in SIZES.items())
    _, found = step.run(x, states)
    assert {n: found[n].grid for n in ("r0.h", "r0.c")} == {
        n: step.edges[n] for n in ("r0.h", "r0.c")
    }


@pytest.mark.parametrize("scheme", ["fine", "plain"])
def test_units_that_count_take_no_steps_from_the_others(scheme):
    spec = one_layer_spec("lstm")
    weights = counting_weights(spec)
    samples = calibration_for(spec, weights, 400)
    extremes = np.abs(samples["r0.c"]).max(0)
    assert extremes[:2].min() > 40
    assert extremes[2:].max() < 4
    step = quantized(spec.network, weights, FORMS["a16w8"][scheme], samples)
    # A range of 8 at least, of the whole 2 x 50, in powers of 2.
    assert step.columns == {"r0.c": (1.0, 1.0, *[0.125] * 11)}
    states = {name: samples[name][-5:] for name in ("r0.h", "r0.c")}
    for name, values in states.items():
        back = step.real(name, step.whole(name, values)).numpy()
        assert np.abs(back - values)[:, 2:].max() < 3e-4
    found = answers(step, {"x": samples["x"][-5:], **states})
    exact = Reference(spec, weights)
    for k, row in enumerate(samples["x"][-5:]):
        exact.state = {name: values[k] for name, values in states.items()}
        exact.step(row)
        limit = {"fine": 4e-4, "plain": 1e-2}[scheme]
        assert np.abs(found["r0.c"][k] - exact.state["r0.c"])[2:].max() < limit


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 6.0), (-3.0, 0.5), (2.0, 5.0)])
def test_a_grid_of_8_bits_has_the_range_and_an_exact_zero(low, high):
    grid = between(low, high, 8)
    assert grid.dequantize(grid.quantize(torch.zeros(1))) == 0
    values = torch.linspace(low, high, 101)
    moved = grid.dequantize(grid.quantize(values)) - values
    assert moved.abs().max() <= grid.scale


@pytest.mark.parametrize(
    "spec", [one_layer_spec("lstm"), one_layer_spec("gru"), mixed_spec(), normed_spec("gru")]
)
def test_the_values_inside_are_those_of_float64(spec):
    weights = random_weights(spec)
    samples = calibration_for(spec, weights, 100)
    step = quantized(spec.network, rounded(spec.network, weights, samples), Form(16), samples)
    rows = feature_rows(spec, 20)
    expected = Reference(spec, weights)
    found = inside.exact(spec.network, step.in_floats(weights), rows)
    np.testing.assert_allclose(found["y"], expected.run(rows), rtol=0, atol=1e-12)
    for name, state in expected.state.items():
        np.testing.assert_allclose(found[name][-1], state, rtol=0, atol=1e-12)
    sizes = {"x": spec.inputs.feature_size, **spec.network.state}
    sites = inside.sites(step, sizes)
    assert set(sites) < set(found)
    _, outputs = step.run(*zeros(step, sizes))
    assert not {value.site for value in outputs.values()} & set(sites)


def zeros(step, sizes):
    x, *states = (step.edges[n].quantize(torch.zeros(1, k)) for n, k in sizes.items())
    return x, states


def test_a_sum_is_compared_where_its_function_is_not_flat():
    """Behind relu all below 0 is alike, and integers don't go there."""
    spec = one_layer_spec("rnn", activation="relu")
    weights = random_weights(spec)
    step = quantized(spec.network, weights, Form(16), calibration_for(spec, weights, 100))
    found = inside.exact(spec.network, step.in_floats(weights), feature_rows(spec, 20))
    assert found["r0.1.sum"].min() == 0 < found["r0.1.sum"].max()
    assert found["r0.1.sum.0"].min() < 0


def test_integers_inside_are_numbers():
    tape = Tape(Form(8), None, {}, torch.clone, {})
    value = Value(tape, torch.zeros(1, 2), Grid(0.5, -3, 8), "sum", (1.0, 0.25))
    assert inside.real(value, np.array([[-5, 1]], np.int8)).tolist() == [[-1.0, 0.5]]
    tape.flat["sum"] = (0.0, np.inf)
    assert inside.real(value, np.array([[-5, 1]], np.int8)).tolist() == [[0.0, 0.5]]


def test_a_layer_that_has_no_form_is_refused_by_name():
    layers = [
        {"type": "softmax", "name": "shares", "inputs": ["x"]},
        {"type": "dense", "name": "head", "inputs": ["shares"], "units": 2},
    ]
    network = network_from(3, layers)
    weights = {n: np.ones(s, np.float32) for n, s in network.weights.items()}
    with pytest.raises(ValueError, match="softmax has no form in integers"):
        quantized(network, weights, Form(16), {"x": np.ones((2, 3), np.float32)})
