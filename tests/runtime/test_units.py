"""Layers and tasks: those of a plug-in, those that nobody knows, and networks with branches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import cli
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import NumpyStreams, numpy_backend
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.layers import recurrent_types
from edge_lstm_runtime.model.npz import write_npz
from helpers.arrays import Array, Weights
from helpers.backends import open_any
from helpers.plug_ins import plug_in
from helpers.specs import feature_rows, make_spec, samples
from helpers.tolerances import assert_close

STEPS = 50
LEAKY = '''
"""h = keep * h + (1 - keep) * tanh(x W + b), a keep for each unit; the output is h, or 2 h."""
import dataclasses
from typing import Literal

from edge_lstm_runtime.layers import Layer


@dataclasses.dataclass(frozen=True)
class Leaky(Layer):
    type = "leaky"
    units: int
    gain: Literal["one", "two"] = "one"

    def outputs(self, inputs):
        return self.units

    def weights(self, inputs):
        return {"W": (inputs, self.units), "b": (self.units,), "keep": (self.units,)}

    def state(self, inputs):
        return {"h": self.units}

    def cell(self, ops, product, weights, x, state):
        new = ops.tanh(product("W", x) + weights["b"])
        keep = ops.sigmoid(weights["keep"])
        h = new + keep * (state["h"] - new)
        return (h + h if self.gain == "two" else h), {"h": h}


LAYER = Leaky
'''
RANK = '''
"""The outputs are scores in tenths; an answer is told as the names from the best to the worst."""
import dataclasses

import numpy as np

from edge_lstm_runtime.tasks import Answer, Scaling, check_names


@dataclasses.dataclass(frozen=True)
class Rank(Answer):
    task = "rank"
    teams: tuple[str, ...]
    worst_first: bool = False

    def __post_init__(self):
        check_names("teams", self.teams, 2)

    @property
    def names(self):
        return self.teams

    def scaling(self, inputs):
        return Scaling(np.zeros(self.size), np.full(self.size, 10.0), None)

    def describe(self, answer):
        order = np.argsort(answer if self.worst_first else -answer)
        return {"order": [self.teams[k] for k in order]}


ANSWER = Rank
'''


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    plug_in(folder, "toylayer", group="edge_lstm.layers", leaky=LEAKY)
    plug_in(folder, "toytask", group="edge_lstm.answers", rank=RANK)
    monkeypatch.syspath_prepend(folder)


def spec_of(network: list[dict[str, Any]], channels: int = 3, **answer: Any) -> rt.ModelSpec:
    values = make_spec(channels=channels).to_dict()
    answer = answer or values["answer"]
    return rt.ModelSpec.from_dict({**values, "network": network, "answer": answer})


def weights_of(spec: rt.ModelSpec) -> Weights:
    rng = np.random.default_rng(4)
    shapes = spec.network.weights.items()
    return {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes}


def dense(name: str, inputs: list[str], units: int, activation: str = "none") -> dict[str, Any]:
    layer = {"type": "dense", "name": name, "inputs": inputs, "units": units}
    return {**layer, "activation": activation}


def leaky(name: str, inputs: list[str], units: int, gain: str = "one") -> dict[str, Any]:
    return {"type": "leaky", "name": name, "inputs": inputs, "units": units, "gain": gain}


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def leaky_by_hand(w: Weights, name: str, xs: Array) -> Array:
    """(T, inputs) -> (T, units), the state of each step."""
    w64 = {n: array.astype(np.float64) for n, array in w.items()}
    h = np.zeros(len(w64[f"{name}.b"]))
    found = []
    keep = sigmoid(w64[f"{name}.keep"])
    for x in xs:
        h = keep * h + (1 - keep) * np.tanh(x @ w64[f"{name}.W"] + w64[f"{name}.b"])
        found.append(h)
    return np.array(found)


# --- a layer type ---


@pytest.fixture
def leaky_spec(toys: None) -> rt.ModelSpec:  # noqa: ARG001
    return spec_of([leaky("first", ["x"], 5, "two"), leaky("second", ["first"], 4)])


def test_a_layer_of_a_plug_in_comes_back_from_json(leaky_spec: rt.ModelSpec) -> None:
    again = rt.ModelSpec.from_dict(json.loads(json.dumps(leaky_spec.to_dict())))
    assert again == leaky_spec
    assert hash(again) == hash(leaky_spec)
    assert leaky_spec.to_dict()["network"][0] == leaky("first", ["x"], 5, "two")
    assert leaky_spec.network.state == {"first.h": 5, "second.h": 4}
    assert leaky_spec.network.parameters == 3 * 5 + 5 + 5 + 5 * 4 + 4 + 4
    assert leaky_spec.network.macs_per_step == 3 * 5 + 5 * 4
    assert {"leaky", "lstm"} <= set(recurrent_types())


def test_its_fields_are_checked_as_any_others(leaky_spec: rt.ModelSpec) -> None:
    values = leaky_spec.to_dict()
    first, second = values["network"]
    for change, message in (
        ({"units": 0}, "layer 'first': units is 0"),
        ({"gain": "three"}, "layer 'first': gain is 'three', expected one of 'one', 'two'"),
        ({"depth": 1}, r"layer 'first': has unknown keys \['depth'\]"),
    ):
        with pytest.raises(rt.BundleError, match=message):
            rt.ModelSpec.from_dict({**values, "network": [{**first, **change}, second]})


@pytest.mark.parametrize("name", ["reference", "numpy"])
def test_each_backend_has_it_from_its_cell_alone(leaky_spec: rt.ModelSpec, name: str) -> None:
    weights = weights_of(leaky_spec)
    rows = feature_rows(leaky_spec, STEPS)
    h = leaky_by_hand(weights, "first", rows.astype(np.float64))
    expected = leaky_by_hand(weights, "second", 2 * h)
    backend = open_any(name, leaky_spec, weights)
    tolerance = "float64" if name == "reference" else "float32"
    assert_close(backend.run(rows), expected, tolerance, "outputs")
    assert list(backend.state) == ["first.h", "second.h"]
    assert_close(backend.state["first.h"], h[-1], tolerance, "first.h")
    assert_close(backend.state["second.h"], expected[-1], tolerance, "second.h")
    saved = backend.state
    after = backend.run(rows)
    backend.state = saved
    assert_close(backend.run(rows), after, "exact", "outputs after restoring")


def test_several_streams_of_it(leaky_spec: rt.ModelSpec) -> None:
    weights = weights_of(leaky_spec)
    rows = np.stack([feature_rows(leaky_spec, STEPS, seed=k) for k in range(3)], axis=1)
    together = NumpyStreams(leaky_spec, weights, 3)
    found = together.run(rows)
    for k in range(3):
        alone = numpy_backend(leaky_spec, weights)
        assert_close(found[:, k], alone.run(rows[:, k]), "float32", f"stream {k}")
        for name, state in alone.state.items():
            assert_close(together.state[name][k], state, "float32", f"stream {k} {name}")


def test_it_reads_both_ways(toys: None) -> None:  # noqa: ARG001
    inner = {"type": "leaky", "units": 4, "gain": "two"}
    both = {"type": "both-ways", "name": "b", "inputs": ["x"], "layer": inner}
    spec = spec_of([both, dense("head", ["b"], 4)])
    assert rt.ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    w = weights_of(spec)
    rows = feature_rows(spec, 12)
    xs = rows.astype(np.float64)
    ahead = 2 * leaky_by_hand(w, "b", xs)
    back = 2 * leaky_by_hand(w, "b.reverse", xs[::-1])[::-1]
    head = w["head.W"].astype(np.float64)
    expected = np.concatenate([ahead, back], axis=1) @ head + w["head.b"]
    assert_close(reference(spec, w).run(rows), expected, "float64", "reference")
    assert_close(numpy_backend(spec, w).run(rows), expected, "float32", "numpy")


def write(path: Path, spec: rt.ModelSpec) -> rt.Bundle:
    weights = weights_of(spec)
    xs = samples(spec, STEPS)
    golden = {"x": xs, "y": reference(spec, weights).run(spec.features(xs))}
    return rt.write_bundle(path, spec, weights, {"golden.npz": write_npz(golden)})


def test_it_goes_through_a_bundle_and_the_commands(
    leaky_spec: rt.ModelSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "leaky.edge"
    assert write(path, leaky_spec).spec == leaky_spec
    assert rt.check_backend(rt.load(path).bundle, "numpy").passed
    with rt.load(path).session() as session:
        assert session.backend.name == "numpy"
    refused = "layer 'first' is of type 'leaky' and the kernel has .*; the backend numpy does"
    with pytest.raises(rt.BackendUnavailableError, match=refused):
        NativeBackend(leaky_spec, weights_of(leaky_spec))
    assert cli.main(["info", str(path)]) == 0
    assert "model     leaky 5 -> leaky 4, " in capsys.readouterr().out


def test_a_layer_type_that_nobody_knows_is_named() -> None:
    """As on a board without the plug-in."""
    network = [{**leaky("first", ["x"], 5), "type": "leakier"}, dense("head", ["first"], 4)]
    message = "layer 'first': type is 'leakier', expected one of .*both-ways, causal.*dense.*lstm"
    with pytest.raises(rt.BundleError, match=message):
        spec_of(network)


def test_a_plug_in_that_cannot_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in(tmp_path, "broken", group="edge_lstm.layers", absent="import no_such_module")
    plug_in(tmp_path, "empty", group="edge_lstm.layers", bare="X = 1")
    monkeypatch.syspath_prepend(tmp_path)
    head = dense("head", ["first"], 4)
    for kind, why in (("absent", "no_such_module"), ("bare", "module empty_bare has no LAYER")):
        with pytest.raises(rt.EdgeLstmError, match=f"'{kind}' can't be loaded: .*{why}"):
            spec_of([{"type": kind, "name": "first", "inputs": ["x"]}, head])


# --- a task ---


def test_a_task_of_a_plug_in(
    toys: None,  # noqa: ARG001
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = make_spec(hidden=5, outputs=3).to_dict()["network"]
    spec = spec_of(network, task="rank", teams=["red", "green", "blue"])
    values = spec.to_dict()
    assert values["answer"] == {"task": "rank", "teams": ["red", "green", "blue"]}
    assert rt.ModelSpec.from_dict(json.loads(json.dumps(values))) == spec
    path = tmp_path / "rank.edge"
    xs = samples(spec, 5)
    write(path, spec)
    y = reference(spec, weights_of(spec)).run(spec.features(xs))
    orders = []
    for backend in ("reference", "numpy", "native"):
        with rt.load(path).session(backend) as session:
            found = session.run(xs)
        assert_close(found / 10, y, "float32", f"answers of {backend}")
        orders = [rt.describe(spec, answer)["order"] for answer in found]
        names = np.array(["red", "green", "blue"])
        assert orders == [names[np.argsort(-row)].tolist() for row in y]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in xs.tolist()))
    assert cli.main(["run", str(path), "--input", str(tmp_path / "in.jsonl")]) == 0
    out, _ = capsys.readouterr()
    assert [json.loads(line)["order"] for line in out.splitlines()] == orders
    for answer, message in (
        ({"teams": ["red"]}, "teams has 1 names"),
        ({}, r"lacks \['teams'\]"),
        ({"teams": ["a", "b", "c"], "best": 1}, r"unknown keys \['best'\]"),
        ({"teams": ["a", "b"]}, "has 3 outputs, and the answer 2"),
    ):
        with pytest.raises(rt.BundleError, match=message):
            spec_of(network, task="rank", **answer)


def test_a_task_that_nobody_knows_is_named() -> None:
    message = "task is 'ranks', expected one of classify, forecast, language, .*regress"
    with pytest.raises(rt.BundleError, match=message):
        spec_of(make_spec().to_dict()["network"], task="ranks", teams=["a", "b"])


# --- branches ---


def branched() -> rt.ModelSpec:
    """x -> wide, (wide, x) -> lstm, (lstm, x) -> side, (side, wide, lstm) -> head."""
    lstm = {"type": "lstm", "name": "lstm", "inputs": ["wide", "x"], "units": 3}
    network = [
        dense("wide", ["x"], 6, "tanh"),
        lstm,
        dense("side", ["lstm", "x"], 2, "relu"),
        dense("head", ["side", "wide", "lstm"], 4, "sigmoid"),
    ]
    return spec_of(network)


def branched_by_hand(w32: Weights, rows: Array) -> tuple[Array, Array, Array]:
    """Outputs (T, O), and the last h and c."""
    w = {name: array.astype(np.float64) for name, array in w32.items()}
    h = np.zeros(3)
    c = np.zeros(3)
    found = []
    for x in rows.astype(np.float64):
        wide = np.tanh(x @ w["wide.W"] + w["wide.b"])
        sums = np.concatenate([wide, x]) @ w["lstm.W_x"] + h @ w["lstm.W_h"] + w["lstm.b"]
        i = sums[:3]
        f = sums[3:6]
        g = sums[6:9]
        o = sums[9:]
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        side = np.maximum(np.concatenate([h, x]) @ w["side.W"] + w["side.b"], 0)
        found.append(sigmoid(np.concatenate([side, wide, h]) @ w["head.W"] + w["head.b"]))
    return np.array(found), h, c


@pytest.mark.parametrize("name", ["reference", "numpy", "onnx-fused", "onnx-cell", "rknn-adapter"])
def test_a_network_with_branches_is_the_computation_by_hand(name: str) -> None:
    spec = branched()
    weights = weights_of(spec)
    rows = feature_rows(spec, 200)
    outputs, h, c = branched_by_hand(weights, rows)
    backend = open_any(name, spec, weights)
    tolerance = "float64" if name == "reference" else "float32"
    assert_close(backend.run(rows), outputs, tolerance, "outputs")
    assert list(backend.state) == ["lstm.h", "lstm.c"]
    assert_close(backend.state["lstm.h"], h, tolerance, "h")
    assert_close(backend.state["lstm.c"], c, tolerance, "c")


def test_branches_in_several_streams() -> None:
    spec = branched()
    weights = weights_of(spec)
    rows = np.stack([feature_rows(spec, STEPS, seed=k) for k in range(3)], axis=1)
    found = NumpyStreams(spec, weights, 3).run(rows)
    for k in range(3):
        assert_close(
            found[:, k], branched_by_hand(weights, rows[:, k])[0], "float32", f"stream {k}"
        )


def test_two_directions_with_a_shortcut() -> None:
    """A whole sequence: (both ways, x) -> head."""
    both = {**make_spec(hidden=3, bidirectional=True).to_dict()["network"][0], "name": "b"}
    spec = spec_of([both, dense("head", ["b", "x"], 4)])
    w = weights_of(spec)
    rows = feature_rows(spec, 20)
    one = {**both["layer"], "name": "one", "inputs": ["x"]}
    values = spec.to_dict()
    answer = {"task": "classify", "classes": ["a", "b", "c"]}
    single = rt.ModelSpec.from_dict({**values, "network": [one], "answer": answer})
    ways = []
    for prefix, xs in (("b.", rows), ("b.reverse.", rows[::-1])):
        own = {f"one.{n}": w[prefix + n] for n in ("W_x", "W_h", "b")}
        ways.append(reference(single, own).run(xs))
    joined = np.concatenate([ways[0], ways[1][::-1], rows], axis=1)
    expected = joined @ w["head.W"].astype(np.float64) + w["head.b"]
    for name, run in (("float64", reference), ("float32", numpy_backend)):
        assert_close(run(spec, w).run(rows), expected, name, run.__name__)
    assert_close(open_any("onnx-fused", spec, w).run(rows), expected, "float32", "onnx")


def test_the_native_kernel_runs_branches() -> None:
    spec = branched()
    weights = weights_of(spec)
    rows = feature_rows(spec, STEPS)
    expected = open_any("reference", spec, weights).run(rows)
    assert_close(NativeBackend(spec, weights).run(rows), expected, "float32", "outputs")
