"""Lists of layers in every kernel of this CPU, against the equations in float64, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from edge_lstm_runtime import BackendError, native
from edge_lstm_runtime.native import CLayer, CNetwork
from helpers.c_layers import TYPES, Kernel, check_float16, check_float32, check_int8, random_weights

KERNELS = native.kernels() if native.LIBRARY.exists() else ()
pytestmark = pytest.mark.skipif(not KERNELS, reason=f"{native.LIBRARY.name} is not built")
NETWORKS = {
    "dense before and behind": CNetwork(
        5,
        (
            CLayer("dense", 12, (0,), 1),
            CLayer("lstm", 19, (1,)),
            CLayer("dense", 9, (2,), 2),
            CLayer("dense", 3, (3,)),
        ),
    ),
    "unequal": CNetwork(
        3, (CLayer("lstm", 33, (0,)), CLayer("lstm", 6, (1,)), CLayer("dense", 4, (2,), 3))
    ),
    "skip": CNetwork(
        4, (CLayer("lstm", 7, (0,)), CLayer("lstm", 18, (1, 0)), CLayer("dense", 2, (0, 2, 1)))
    ),
    "no head": CNetwork(2, (CLayer("lstm", 5, (0,)),)),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("streams", [1, 5])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_float32_over_1000_steps(network, streams, kernel):
    check_float32(network, TYPES, streams=streams, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_float16_over_1000_steps(network, kernel):
    check_float16(network, TYPES, streams=3, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_float16_holds_weights_that_numpy_has_not_in_float16(kernel):
    """Each sum has its own power of two, so 11 bits are left of weights beyond 65504 and of those
    that are subnormal in float16."""
    network = CNetwork(9, (CLayer("dense", 21, (0,)),))
    rng = np.random.default_rng(4)
    W = rng.normal(size=(9, 21)).astype(np.float32)
    b = rng.normal(size=21).astype(np.float32)
    x = rng.normal(size=(50, 1, 9)).astype(np.float32)
    rounded = W.astype(np.float16).astype(np.float64)
    for size in (2.0**40, 2.0**17, 2.0**-20, 2.0**-60):
        weights = [[(W * np.float32(size)), b * np.float32(size)]]
        found = Kernel(network, weights, "float16", kernel=kernel).run(x)[:, 0] / size
        assert np.abs(found - (x[:, 0] @ rounded + b)).max() <= 2e-6
    weights = [[np.zeros_like(W), b]]
    np.testing.assert_array_equal(
        Kernel(network, weights, "float16", kernel=kernel).run(x)[:, 0], np.tile(b, (50, 1))
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_float16_rounds_ties_to_even_and_keeps_subnormals(kernel):
    """Each weight alone comes back as NumPy rounds it, beside a first one of 1."""
    values = np.array(
        [
            *(1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 - 2.0**-12, 1 - 3 * 2.0**-12, -0.1, 0.0),
            *(2.0**-14, 2.0**-13 - 2.0**-25, 1.0 - 2.0**-11, 0.3333, -1.9996, 1e-4),
        ],
        np.float32,
    )
    network = CNetwork(len(values) + 1, (CLayer("dense", 1, (0,)),))
    W = np.concatenate([[1], values]).astype(np.float32)[:, None]
    backend = Kernel(network, [[W, np.zeros(1, np.float32)]], "float16", kernel=kernel)
    found = backend.run(np.eye(len(W), dtype=np.float32)[:, None])[:, 0, 0]
    np.testing.assert_array_equal(found, W[:, 0].astype(np.float16).astype(np.float32))


def test_float16_takes_half_the_memory():
    network = CNetwork(8, (CLayer("lstm", 128, (0,)), CLayer("dense", 4, (1,))))
    weights = random_weights(network, TYPES.shapes)
    sizes = [
        Kernel(network, weights, precision).net.sizes()[0] for precision in ("float16", "float32")
    ]
    assert 0.49 < sizes[0] / sizes[1] < 0.53


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_int8_is_near_float32(network, kernel):
    check_int8(network, TYPES, kernel=kernel)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((CLayer("conv1d", 3, (0,)),), "has no layer 'conv1d'; it has dense, lstm"),
        ((CLayer("lstm", 3, (0, 0, 0, 0, 0)),), "5 sources; the native kernel takes up to 4"),
        ((CLayer("lstm", 3, ()),), "EL_BAD_SIZE"),
        ((CLayer("lstm", 3, (1,)),), "EL_BAD_LAYER"),
        ((CLayer("dense", 3, (0,), 4),), "EL_BAD_LAYER"),
        ((CLayer("lstm", 0, (0,)),), "EL_BAD_SIZE"),
        ((CLayer("lstm", 2**32 + 3, (0,)),), "is 4294967299, which is no number of 32 bits"),
        ((CLayer("lstm", 3, (-1,)),), "is -1, which is no number of 32 bits"),
        ((), "EL_BAD_SIZE"),
    ],
)
def test_networks_that_are_refused(layers, message):
    with pytest.raises(BackendError, match=message):
        native.make_net(CNetwork(2, layers), np.zeros(100, np.float32), "float32")


def test_weights_of_another_size_are_refused():
    network = CNetwork(2, (CLayer("dense", 3, (0,)),))  # 9 weights
    for wrong in (
        np.zeros(8, np.float32),
        np.zeros(10, np.float32),
        np.zeros(9),
        np.zeros((3, 3), np.float32),
    ):
        with pytest.raises(
            BackendError, match=r"weights are .*, expected contiguous float32\(9,\)"
        ):
            native.make_net(network, wrong, "float32")
    with pytest.raises(BackendError, match=r"steps are .*, expected contiguous float32\(0,\)"):
        native.make_net(network, np.zeros(9, np.float32), "int8", steps=np.ones(3, np.float32))
