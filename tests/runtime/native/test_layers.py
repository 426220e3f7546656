"""Lists of layers in every kernel of this CPU, against the equations in float64, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from edge_lstm_runtime import BackendError, native
from edge_lstm_runtime.native import CLayer, CNetwork
from helpers.c_layers import TYPES, check_float32, check_int8

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
