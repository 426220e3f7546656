"""The model block that the export writes in Python is byte for byte the kernel's.

This holds for lists of layers of every shape.
"""

from __future__ import annotations

import shutil

import pytest

from edge_lstm_export.c.block import PRECISIONS
from edge_lstm_runtime.native import CLayer, CNetwork
from helpers.c_folder import same_block

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

NETWORKS = {
    "smallest": CNetwork(1, (CLayer("lstm", 1, (0,)), CLayer("dense", 2, (1,)))),
    "one": CNetwork(4, (CLayer("lstm", 8, (0,)), CLayer("dense", 4, (1,)))),
    "two": CNetwork(
        3, (CLayer("lstm", 5, (0,)), CLayer("lstm", 5, (1,)), CLayer("dense", 5, (2,)))
    ),
    "unequal": CNetwork(
        9, (CLayer("lstm", 17, (0,)), CLayer("lstm", 64, (1,)), CLayer("dense", 12, (2,)))
    ),
    "activations": CNetwork(
        6,
        (
            CLayer("dense", 10, (0,), 1),
            CLayer("dense", 7, (1,), 2),
            CLayer("lstm", 9, (2,)),
            CLayer("dense", 3, (3,), 3),
        ),
    ),
    "skip": CNetwork(
        5,
        (
            CLayer("lstm", 6, (0,)),
            CLayer("lstm", 11, (0, 1)),
            CLayer("dense", 4, (2, 0, 1)),
        ),
    ),
    "no state": CNetwork(2, (CLayer("dense", 3, (0, 0)),)),
}


@pytest.mark.parametrize("scheme", PRECISIONS)
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_block_and_sizes_are_the_kernels_own(kernel, network, scheme):
    same_block(kernel, network, scheme)
