"""The C kernel for other networks than a chain of equal layers, against the float64 reference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import native
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.layers import Layer
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.model.network import Network
from helpers.specs import feature_rows, mixed_spec
from helpers.tolerances import assert_close
from helpers.weights import normal_weights

pytestmark = pytest.mark.skipif(not native.LIBRARY.exists(), reason="the library is not built")


@dataclasses.dataclass(frozen=True)
class Peephole(Lstm):
    """A type that the kernel has not."""

    type = "peephole"


@dataclasses.dataclass(frozen=True)
class Projected(Lstm):
    """The kernel's type with more settings than it knows."""

    cells: int = 3
    clip: bool = False


def test_layers_of_unequal_sizes_with_activations() -> None:
    spec = mixed_spec()
    weights = normal_weights(spec)
    x = feature_rows(spec, 500)
    backend = NativeBackend(spec, weights)
    reference = rt.Reference(spec, weights)
    assert_close(backend.run(x), reference.run(x), "float32", "y")
    assert list(backend.state) == ["first.h", "first.c", "second.h", "second.c"]
    for name, expected in reference.state.items():
        assert_close(backend.state[name], expected, "float32", name)


@pytest.mark.parametrize("streams", [None, 3])
def test_the_state_is_by_name(streams: int | None) -> None:
    spec = mixed_spec()
    batch = () if streams is None else (streams,)
    backend = NativeBackend(spec, normal_weights(spec), streams=streams)
    rng = np.random.default_rng(0)
    given = {
        name: rng.normal(size=(*batch, size)).astype(np.float32)
        for name, size in spec.network.state.items()
    }
    backend.state = given
    for name, array in backend.state.items():
        np.testing.assert_array_equal(array, given[name], err_msg=name)


def test_the_activation_of_a_head() -> None:
    """It was ignored once."""
    head = Dense("head", ("x",), 3, "tanh")
    spec = dataclasses.replace(mixed_spec(), network=Network(4, (head,)))
    backend = NativeBackend(spec, normal_weights(spec))
    assert backend.state == {}
    backend.state = {}
    weights = {n: W.astype(np.float64) for n, W in normal_weights(spec).items()}
    x = feature_rows(spec, 5)
    expected = np.tanh(x @ weights["head.W"] + weights["head.b"])
    assert_close(backend.run(x), expected, "float32", "y")


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (Peephole("odd", ("x",), 5), "is of type 'peephole' and the kernel has dense, lstm"),
        (Lstm("odd", ("x",) * 5, 5), "reads 5 others and the kernel takes up to 4"),
        (Dense("odd", ("wide", "wide"), 5), "reads 32768 values and the kernel takes up to 16384"),
        (Projected("odd", ("x",), 5), r"has the settings \[3, False\] and the kernel takes one"),
    ],
)
def test_a_network_that_the_kernel_does_not_run(layer: Layer, why: str) -> None:
    layers = (Dense("wide", ("x",), 16384), layer, Dense("head", ("odd",), 3))
    told = f"^layer 'odd' {why}.*: the C kernel does not run this network; the backend numpy does$"
    with pytest.raises(rt.BackendUnavailableError, match=told):
        native.network_of(Network(4, layers))
