"""CompactNet is the model that the reference describes."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from edge_lstm import CompactNet
from edge_lstm.data.recordings import Sequence
from edge_lstm.emulate.npu_w8a8 import NpuNet, settled
from edge_lstm.network import canonical_weights
from edge_lstm.results.answers import answers
from edge_lstm_runtime.backends.reference import Reference
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.model.network import Network, network_from
from helpers.preprocessors import in_raw_units
from helpers.specs import make_spec, plain_spec
from helpers.tolerances import assert_close


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_against_the_reference(layers: int) -> None:
    spec = plain_spec(layers, 10)
    torch.manual_seed(layers)
    model = CompactNet(spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.5, 0.5)
    weights = canonical_weights(model)
    spec.network.check_weights(weights)
    xs = np.random.default_rng(layers).normal(size=(200, 3))
    expected = Reference(spec, weights).run(xs)
    outputs = model(torch.from_numpy(xs).float()[None])[0].detach().numpy()[0]
    assert_close(outputs, expected, "float32", "y")
    halves = []
    state = None
    for half in (xs[:77], xs[77:]):
        out, state = model(torch.from_numpy(half).float()[None], state)
        halves.append(out.detach().numpy()[0])
    assert_close(np.concatenate(halves), expected, "float32", "y in two halves")


def test_initial_weights_are_the_same_with_any_number_of_threads() -> None:
    """At 64 units a QR decomposition with two threads differs from one with one thread."""
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        found.append(canonical_weights(CompactNet(plain_spec(1, 64))))
        assert torch.get_num_threads() == threads
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][name])


@pytest.mark.parametrize("part", range(3))
def test_a_layer_may_have_any_name(part: int) -> None:
    """Those of the attributes of torch's modules too. Checkpoints have them as they are."""
    names = sorted({*dir(nn.ModuleDict()), *dir(nn.ParameterDict()), *dir(nn.LSTM(1, 1))})[part::3]
    assert {"values", "type", "train", "forward", "half"} & set(names)
    sources = ["x", *names]
    layers = [
        {"type": "lstm", "name": name, "units": 1, "inputs": [source]}
        for name, source in zip(names, sources, strict=False)
    ]
    head = {"type": "dense", "name": "answers", "units": 3, "inputs": [names[-1]]}
    spec = plain_spec(1, 2)
    network = network_from(spec.inputs.feature_size, [*layers, head])
    spec = dataclasses.replace(spec, network=network)
    for kind in (CompactNet, NpuNet):
        net = copy.deepcopy(kind(spec))
        state = net.state_dict()
        assert {f"layers.{name}.rnn.weight_hh_l0" for name in names} <= set(state)
        assert len(list(net.parameters())) == len(dict(net.named_parameters()))
        other = kind(spec)
        other.load_state_dict(state)
        spec.network.check_weights(canonical_weights(other))
        x = torch.zeros(2, 3, spec.inputs.feature_size)
        assert torch.equal(net(x)[0], other(x)[0])
    weights, ranges = settled(spec, state)
    assert {f"width.{name}" for name in names} <= set(state)
    assert {f"{name}.scale" for name in names} <= set(ranges)
    CompactNet(spec).load_state_dict(weights)


def test_initial_weights() -> None:
    spec = plain_spec(2, 16)
    weights = canonical_weights(CompactNet(spec))
    for k in range(2):
        for gate in range(4):
            block = weights[f"lstm{k}.W_h"][:, 16 * gate : 16 * (gate + 1)]
            assert_close(block @ block.T, np.eye(16), "float32", f"gate {gate}")
            inputs = weights[f"lstm{k}.W_x"][:, 16 * gate : 16 * (gate + 1)]
            bound = np.sqrt(6 / (inputs.shape[0] + 16))
            assert 0.8 * bound < np.abs(inputs).max() <= bound
        np.testing.assert_array_equal(
            weights[f"lstm{k}.b"], np.repeat([0, 1, 0, 0], 16).astype(np.float32)
        )
    np.testing.assert_array_equal(weights["head.b"], 0)


def test_canonical_weights_are_copies() -> None:
    model = CompactNet(plain_spec(1, 10))
    weights = canonical_weights(model)
    before = weights["lstm0.W_h"].copy(), weights["head.b"].copy()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    np.testing.assert_array_equal(weights["lstm0.W_h"], before[0])
    np.testing.assert_array_equal(weights["head.b"], before[1])


def test_summary_counts_by_hand() -> None:
    # 3 inputs, 10 units, 3 classes: 4 gates of (3 + 10) weights and a bias per unit, and the head.
    parameters = 4 * 10 * (3 + 10 + 1) + 10 * 3 + 3
    text = CompactNet(plain_spec(1, 10)).summary()
    assert f"{parameters:,}" in text
    assert f"{4 * parameters:,} in fp32" in text
    assert f"{parameters + 3 * (40 + 3):,} in int8" in text
    assert f"{4 * 10 * 13 + 30 + 3 * 10:,}" in text


def test_dropout_works_between_layers_and_in_training_only() -> None:
    x = torch.randn(1, 5, 3)
    model = CompactNet(plain_spec(2, 10), dropout=0.5)
    model.train()
    assert not torch.equal(model(x)[0], model(x)[0])
    model.eval()
    assert torch.equal(model(x)[0], model(x)[0])
    CompactNet(plain_spec(1, 10), dropout=0.5)  # torch warns of it, and warnings are errors here


def test_dropout_takes_all_layers_that_a_later_one_with_a_state_reads() -> None:
    """At 0.9 about nine of ten outputs are 0."""
    x = torch.randn(8, 5, 3)
    spec = plain_spec(1, 10)

    def dropped(*layers: Layer) -> set[str]:
        network = Network(3, (*layers, Dense("head", (layers[-1].name,), 3)))
        model = CompactNet(dataclasses.replace(spec, network=network), dropout=0.9)
        model.train()
        values, _ = model.run(x)
        shares = {n: float((v == 0).float().mean()) for n, v in values.items()}
        # An LSTM whose inputs were all zeroed may answer 0 in its first steps.
        assert all(share < 0.3 or 0.8 < share < 0.97 for share in shares.values())
        return {name for name, share in shares.items() if share > 0.5}

    a = Lstm("a", ("x",), 20)
    b = Lstm("b", ("x",), 20)
    c = Lstm("c", ("b",), 20)
    both = Dense("both", ("a", "b"), 6, "tanh")
    assert dropped(a, Lstm("b", ("a",), 20), c) == {"a", "b"}
    assert dropped(a, b, both) == set()
    assert dropped(a, b, both, Lstm("last", ("both",), 4)) == {"a", "b"}
    assert dropped(a, b, c, Dense("join", ("a", "c"), 4)) == {"b"}


@pytest.mark.parametrize("task", ["classify", "forecast"])
@pytest.mark.parametrize("missing", ["ffill", "mask"])
def test_streamed_answers_are_the_reference_in_raw_units(
    task: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # several chunks, and the state between them
    monkeypatch.setattr("edge_lstm.results.answers.CHUNK", 7)
    extra = (
        {"targets": ("ch2", "ch0"), "residual": True, "outputs": 2} if task == "forecast" else {}
    )
    spec = make_spec(
        task=task, layers=2, missing=missing, mean=(1.0, -2.0, 1e5), std=(2.0, 0.5, 10.0), **extra
    )
    torch.manual_seed(0)
    model = CompactNet(spec)
    rng = np.random.default_rng(0)
    sequences = []
    for length in (30, 12, 25):
        x = rng.normal(size=(length, 3)) * spec.inputs.std + spec.inputs.mean
        x[rng.random(x.shape) < 0.2] = np.nan
        sequences.append(Sequence("s", "s", x, 0))
    weights = canonical_weights(model)
    for sequence, answer in zip(sequences, answers(model, sequences), strict=True):
        xs, filled = spec.inputs.features(sequence.x)
        expected = in_raw_units(spec, Reference(spec, weights).run(xs), filled)
        np.testing.assert_allclose(answer, expected, rtol=1e-6, atol=1e-5)
