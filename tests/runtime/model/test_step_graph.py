"""A network that is a graph: in a specification, in a bundle, in a damaged one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edge_lstm_runtime as rt
from edge_lstm_runtime import BackendError, BundleError
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.model.step_graph import StepGraph
from edge_lstm_runtime.tasks.values import Values
from helpers.broken_bundles import refused, rewritten

INPUTS = Channels(("a", "b"), (0.0, 0.0), (1.0, 1.0))
NETWORK = StepGraph(
    2,
    x=(1, 2),
    y=(1, 2),
    shapes={"step.sum": (1, 2), "step.last": (2, 1)},
    operators=("Exp", "Sqrt"),
    constants=3,
)
SPEC = ModelSpec(INPUTS, NETWORK, Values(("y0", "y1")))


def graph(**shapes: tuple[int, ...]) -> bytes:
    """y: the sum of all x so far, and of the one before once more. shapes: others than stated."""
    ends = {"x": (1, 2), "step_sum_in": (1, 2), "step_last_in": (2, 1), **shapes}
    nodes = [
        helper.make_node("Add", ["x", "step_sum_in"], ["sum_out"]),
        helper.make_node("Transpose", ["step_last_in"], ["before"]),
        helper.make_node("Add", ["sum_out", "before"], ["y"]),
        helper.make_node("Transpose", ["x"], ["last_out"]),
    ]

    def value(name: str, shape: tuple[int, ...] | None) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    outputs = [value(name, None) for name in ("y", "sum_out", "last_out")]
    made = helper.make_graph(nodes, "g", [value(n, s) for n, s in ends.items()], outputs)
    opsets = [helper.make_opsetid("", 19)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=9)
    return model.SerializeToString()


def answers(xs: Any) -> Any:
    before = np.concatenate([np.zeros((1, 2)), xs[:-1]])
    return np.cumsum(xs, axis=0) + before


XS = np.random.default_rng(0).normal(size=(40, 2))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("step") / "a.edge"
    golden = write_npz({"x": XS, "y": answers(XS)})
    rt.write_bundle(path, SPEC, {}, {"golden.npz": golden, "model.onnx": graph()})
    return path


def test_a_specification_comes_back() -> None:
    described = json.loads(json.dumps(SPEC.to_dict()))
    assert described["network"] == {
        "kind": "step-graph",
        "member": "model.onnx",
        "x": [1, 2],
        "y": [1, 2],
        "states": [["step.sum", [1, 2]], ["step.last", [2, 1]]],
        "operators": ["Exp", "Sqrt"],
        "parameters": 3,
    }
    again = ModelSpec.from_dict(described)
    assert again == SPEC
    assert list(again.network.state.items()) == [("step.sum", 2), ("step.last", 2)]
    assert (again.network.features, again.network.outputs, again.whole) == (2, 2, False)
    assert again.network.weights == {}


def test_a_bundle_runs_with_its_state(bundle: Path) -> None:
    """One state is called as a part of the session's own, the last sample."""
    model = rt.load(bundle)
    assert rt.check_backend(model.bundle, "onnx").passed
    with model.session("onnx") as session:
        first = session.run(XS[:20])
        kept = session.state
        second = session.run(XS[20:])
    assert np.abs(np.concatenate([first, second]) - answers(XS)).max() < 1e-5
    with model.session("onnx") as session:
        session.state = kept
        assert np.array_equal(session.run(XS[20:]), second)


def test_a_state_is_of_its_graph(bundle: Path, tmp_path: Path) -> None:
    """Another graph is another model, though the specification is the same."""
    other = onnx.load_from_string(graph())
    other.producer_name = "another"
    data = rewritten(
        bundle.read_bytes(), lambda _, m: m.update({"model.onnx": other.SerializeToString()})
    )
    (tmp_path / "b.edge").write_bytes(data)
    with rt.load(bundle).session("onnx") as session:
        session.run(XS[:3])
        state = session.state
    with (
        rt.load(tmp_path / "b.edge").session("onnx") as session,
        pytest.raises(BackendError, match="another model"),
    ):
        session.state = state


def network(**values: Any) -> Callable[[dict[str, Any], dict[str, bytes]], None]:
    def change(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
        manifest["spec"]["network"].update(values)

    return change


def no_graph(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    del members["model.onnx"], manifest["members"]["model.onnx"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (no_graph, r"lacks model\.onnx, which holds its network"),
        (network(kind="graph"), r"network: kind is 'graph', expected 'step-graph'"),
        (network(more=1), r"network: has the keys .*'more'"),
        (network(member="../x"), r"network: member is '\.\./x', expected 'model\.onnx'"),
        (network(x=[1, 3]), r"network: x is \(1, 3\), expected the 2 features of the inputs"),
        (network(x=[0]), r"network: x is \[0\], expected a shape"),
        (network(y=[2, 2]), r"network: layer 'y': has 4 outputs, and the answer 2"),
        (network(y="1"), r"network: y is '1', expected a shape"),
        (network(y=[True]), r"network: y is \[True\], expected a shape"),
        (network(y=[2**30, 2**30]), r"network: y is \[1073741824, .*expected a shape"),
        (network(y=[[]] * 500), r"network: y is .*\.\.\., expected a shape"),
        (network(states=[]), r"network: has 0 states, expected 1 to 256"),
        (network(states={"h": [1]}), r"network: states is .*, expected pairs"),
        (
            network(states=[["step.h", [1]], ["step.h", [1]]]),
            r"network: states is .*, expected each name",
        ),
        (network(states=[["step.h\n", [1]]]), r"network: states is .*, expected pairs of a name"),
        (network(states=[["step.h", [1e9]]]), r"network: states is .*, expected pairs"),
        (network(states=[["last", [1]]]), r"network: states is .*, expected pairs of a name"),
        (network(operators=[]), r"network: operators is \[\], expected names"),
        (network(parameters=-1), r"network: parameters is -1, expected a number from 0"),
        (network(parameters=None), r"network: parameters is None, expected a number from 0"),
        (
            lambda _, members: members.update({"weights.npz": write_npz({"w": XS})}),
            r"weights are \['w'\], expected \[\]",
        ),
    ],
)
def test_a_damaged_manifest_is_one_line(
    change: Callable[..., Any], match: str, bundle: Path, tmp_path: Path
) -> None:
    error = refused(tmp_path / "a.edge", rewritten(bundle.read_bytes(), change), match)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("member", "match"),
    [
        (graph(x=(2, 1)), r"model\.onnx has inputs 'x' \(2, 1\), .* states 'x' \(1, 2\)"),
        (graph(step_last_in=(1, 1)), r"'step_last_in' \(1, 1\), and the bundle's network states"),
        (graph(more=(1,)), r"expected 3 of each, as docs/bundle\.md lists them"),
        (b"nonsense", r"ONNX Runtime did not take model\.onnx"),
    ],
)
def test_another_graph_than_stated_is_one_line(
    member: bytes, match: str, bundle: Path, tmp_path: Path
) -> None:
    data = rewritten(bundle.read_bytes(), lambda _, m: m.update({"model.onnx": member}))
    (tmp_path / "a.edge").write_bytes(data)
    with pytest.raises(BackendError, match=match) as caught:
        rt.load(tmp_path / "a.edge").session("onnx")
    assert "\n" not in str(caught.value)


def test_other_states_than_the_graphs_are_one_line(bundle: Path, tmp_path: Path) -> None:
    change = network(states=[["step.sum", [1, 2]], ["step.last", [1, 2]]])
    (tmp_path / "a.edge").write_bytes(rewritten(bundle.read_bytes(), change))
    with pytest.raises(
        BackendError, match=r"'step_last_in' \(2, 1\), and the bundle's network states"
    ):
        rt.load(tmp_path / "a.edge").session("onnx")


def test_a_network_is_a_list_or_an_object() -> None:
    described = SPEC.to_dict()
    described["network"] = 3
    with pytest.raises(BundleError, match="network: is 3, expected a list of layers"):
        ModelSpec.from_dict(described)
