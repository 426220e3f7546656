"""Networks and cells that no recipe has, as a plug-in or [[model.layers]] may bring them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest

import edge_lstm_runtime as rt
from edge_lstm_export.graphs import bundle
from edge_lstm_export.graphs.npu import whole
from edge_lstm_export.graphs.packed import packed
from edge_lstm_export.graphs.probe import activations
from edge_lstm_export.npu.rknn.converter import Converter
from edge_lstm_export.quantize import cpu_int8
from edge_lstm_runtime.backends.native_int8 import read_int8
from edge_lstm_runtime.backends.onnx import onnx_backend
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.both_ways import BothWays
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.layers.rnn import Rnn
from edge_lstm_runtime.model.network import Network
from helpers.arrays import Weights
from helpers.calibration import calibration_for
from helpers.specs import feature_rows, plain_spec
from helpers.tolerances import assert_close
from helpers.weights import normal_weights


class Values(NamedTuple):
    """What a cell computes with: the sums, the input, the state, a vector."""

    a: Any
    x: Any
    h: Any
    p: Any


Cell = Callable[[Any, Values], Any]


@dataclasses.dataclass(frozen=True)
class Odd(Layer):
    """h of `units`, by a cell that is given: (ops, values) -> h."""

    type = "odd"
    units: int
    odd: Cell = dataclasses.field(compare=False)

    @property
    def bounded(self) -> bool:
        return True  # not all are, but their graphs are looked at, not their errors

    def outputs(self, inputs: int) -> int:  # noqa: ARG002
        return self.units

    def weights(self, inputs: int) -> dict[str, tuple[int, ...]]:
        H = self.units
        return {"W_x": (inputs, H), "W_h": (H, H), "b": (H,), "p": (H,)}

    def state(self, inputs: int) -> dict[str, int]:  # noqa: ARG002
        return {"h": self.units}

    def cell(
        self, ops: Any, product: Any, weights: Mapping[str, Any], x: Any, state: Mapping[str, Any]
    ) -> Any:
        sums = product("W_x", x) + product("W_h", state["h"]) + weights["b"]
        (a,) = ops.split(ops.sums(sums), 1)
        h = self.odd(ops, Values(a, x, state["h"], weights["p"]))
        return h, {"h": h}


def spec_of(*layers: Layer, head: str = "none") -> rt.ModelSpec:
    """Of 3 channels, with a dense head of 3 answers behind the last layer."""
    last = Dense("head", (layers[-1].name,), 3, head)  # type: ignore[arg-type]
    return dataclasses.replace(plain_spec(1, 8), network=Network(3, (*layers, last)))


def check_cells(spec: rt.ModelSpec) -> None:
    """The cells' graph on ONNX Runtime is the reference, in outputs and states."""
    weights = normal_weights(spec)
    rows = feature_rows(spec, 40)
    exact = reference(spec, weights)
    found = onnx_backend(spec, bundle.build(spec, weights, "cell").SerializeToString())
    assert_close(found.run(rows), exact.run(rows), "float32", "outputs")
    for name, value in exact.state.items():
        assert_close(found.state[name], value, "float32", name)


CELLS: dict[str, Cell] = {
    "adds x": lambda ops, v: v.x + ops.tanh(v.a),
    "keeps x": lambda ops, v: ops.tanh(v.a) * ops.keep("k", 2 * v.x),
    "keeps x itself": lambda ops, v: ops.tanh(v.a) * ops.keep("k", v.x),
    "a part twice": lambda ops, v: ops.tanh(v.a * ops.sigmoid(v.a)),
    "a vector": lambda ops, v: v.p * ops.tanh(v.a) + v.h,
}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_behind_another_layer(name: str) -> None:
    first = Dense("dense0", ("x",), 4, "tanh")
    check_cells(spec_of(first, Odd("odd", ("dense0",), 4, CELLS[name])))


def test_a_state_that_is_the_answer() -> None:
    """The last layer's output and its state are one tensor, under two names."""
    network = Network(3, (Lstm("a", ("x",), 5), Rnn("last", ("a", "x"), 3)))
    check_cells(dataclasses.replace(plain_spec(1, 8), network=network))


@pytest.mark.parametrize(
    ("cell", "used"),
    [
        (lambda ops, v: ops.tanh(v.a), ["Tanh"]),
        (lambda ops, v: ops.tanh(v.a * ops.sigmoid(v.a)), [""]),
        (lambda ops, v: ops.sigmoid(v.a) * v.a, [""]),
        (lambda ops, v: v.h * v.a + ops.relu(v.a), [""]),
        (lambda ops, v: ops.tanh(ops.join([v.a])), [""]),
        (lambda ops, v: ops.relu(ops.keep("raw", v.a)), [""]),
    ],
)
def test_an_activation_is_a_parts_own_only_if_nothing_else_reads_the_part(
    cell: Cell, used: list[str]
) -> None:
    assert activations(Odd("odd", ("x",), 4, cell)) == used


def test_the_int8_cell_refuses_a_cell_that_reads_its_input_elsewhere() -> None:
    for cell in (
        lambda ops, v: ops.tanh(v.a) + v.x,
        lambda ops, v: v.x + ops.tanh(v.a),
    ):
        spec = spec_of(Odd("odd", ("x",), 3, cell))
        weights = normal_weights(spec)
        with pytest.raises(rt.ConversionError, match="layer 'odd' reads its input beside"):
            packed(spec, weights, calibration_for(spec, weights, 64))


def test_weights_that_are_no_matrices_go_with_the_int8_ones() -> None:
    spec = spec_of(Odd("odd", ("x",), 4, CELLS["a vector"]))
    weights = normal_weights(spec)
    arrays = cpu_int8.quantize(spec, weights, calibration_for(spec, weights, 64))
    found, _ = read_int8(spec, arrays)
    assert set(found) == {"odd.W_x", "odd.W_h", "odd.b", "odd.p"}
    np.testing.assert_array_equal(found["odd.p"], weights["odd.p"])


def both(name: str, inputs: tuple[str, ...], units: int) -> Layer:
    return BothWays(name, inputs, Lstm(name, inputs, units))


@pytest.mark.parametrize("head", ["none", "tanh"])
@pytest.mark.parametrize(
    "layers",
    [
        (both("a", ("x",), 5), Lstm("b", ("a",), 6)),
        (Lstm("a", ("x",), 5), both("b", ("a",), 6)),
        (both("a", ("x",), 5), both("b", ("a",), 8)),
        (Lstm("a", ("x",), 8), both("b", ("a",), 3), Lstm("c", ("b",), 4)),
    ],
)
def test_whole_sequences_through_layers_of_both_kinds(layers: tuple[Layer, ...], head: str) -> None:
    spec = spec_of(*layers, head=head)
    weights: Weights = normal_weights(spec)
    rows = feature_rows(spec, 12)
    session = onnxruntime.InferenceSession(
        whole(spec, weights, 12).graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"x": rows[:, None]})
    assert_close(found[:, :, 0, 0], reference(spec, weights).run(rows), "float32", "outputs")


@pytest.mark.parametrize(
    ("operators", "cycles"),
    [
        (["Conv:1200", "Mul:30"], 1230),
        (["exLSTM:0", "Conv:32"], None),
        (["exGRU:0", "Conv:32"], None),
        (["Conv:0"], None),
    ],
)
def test_cycles_are_known_only_if_the_converter_gives_them(
    operators: list[str], cycles: int | None
) -> None:
    rows = [
        {"operator": name, "cycles": f"0/{count}/{count}"}
        for name, count in (operator.split(":") for operator in operators)
    ]
    table: Any = SimpleNamespace(inner_operators=rows)
    assert Converter.cycles.fget(table) == cycles  # type: ignore[attr-defined]
