"""What a cell may compute on symbols: each expression as a graph is the same in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edge_lstm_export.graphs.builder import Graph
from edge_lstm_export.graphs.symbols import Symbol, Tape
from edge_lstm_runtime.layers.ops import NUMPY
from helpers.tolerances import assert_close

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 3, 4)).astype(np.float32)
b = RNG.normal(size=4).astype(np.float32)
# (ops, product, x): x (3,), a product (4,).
EXPRESSIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "two products of one vector": lambda ops, product, x: ops.tanh(product(x, A) + product(x, B)),
    "a product of a value": lambda ops, product, x: product(ops.tanh(x), A) + b,
    "a bias before": lambda _, product, x: b + product(x, A),
    "a number less": lambda ops, product, x: 1 - ops.sigmoid(product(x, A)),
    "a vector less": lambda _, product, x: b - product(x, A),
    "a product less": lambda ops, product, x: product(x, A) - ops.relu(product(x, B)),
    "vectors beside": lambda ops, product, x: b * ops.tanh(product(x, A)) * b + 0.5,
    "a product of sums": lambda _, product, x: product(x, A) * product(x, B),
    "an activation of joined sums": lambda ops, product, x: ops.tanh(
        ops.join([product(x, A[:, :1]), product(x, A[:, 1:])])
    ),
    "parts of a value": lambda ops, product, x: ops.join(
        ops.split(ops.tanh(product(x, A)), 2)[::-1]
    ),
    "parts exchanged": lambda ops, product, x: ops.join(ops.split(product(x, A) + b, 2)[::-1]),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_the_graph_computes_the_expression(name: str) -> None:
    graph = Graph()
    tape = Tape(graph, "t")
    y = EXPRESSIONS[name](tape, tape.product, Symbol(tape, "x"))
    tape.rename(tape.symbol(y), "y")
    model = graph.model("test", {"x": (1, 3, 1, 1)}, {"y": (1, 4, 1, 1)})
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = RNG.normal(size=3).astype(np.float32)
    (found,) = session.run(None, {"x": x.reshape(1, 3, 1, 1)})
    expected = EXPRESSIONS[name](NUMPY, lambda v, W: v @ W, x)
    assert_close(found.ravel(), expected, "float32", name)


def test_a_kept_value_follows_its_tensor() -> None:
    """A state that the cell keeps by a name is renamed as an output of the graph."""
    graph = Graph()
    tape = Tape(graph, "t")
    kept = tape.keep("h", tape.tanh(tape.product(Symbol(tape, "x"), A)))
    assert tape.kept == {"h": "t_h"}
    tape.rename(kept, "t_h_out")
    assert tape.kept == {"h": "t_h_out"}
    assert kept.name == "t_h_out"
