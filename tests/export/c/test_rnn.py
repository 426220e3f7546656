"""RNN layers in the model block that the export writes in Python."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest

from edge_lstm_export.c.block import PRECISIONS
from edge_lstm_runtime.native import CLayer, CNetwork
from helpers.c_folder import check_exported, same_block
from helpers.specs import one_layer_spec

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@pytest.mark.parametrize("scheme", PRECISIONS)
@pytest.mark.parametrize("option", [1, 2], ids=["tanh", "relu"])
def test_block_and_sizes_are_the_kernels_own(kernel: ctypes.CDLL, option: int, scheme: str) -> None:
    layers = (
        CLayer("rnn", 6, (0,), option),
        CLayer("rnn", 17, (1, 0), 1),
        CLayer("dense", 3, (2,)),
    )
    same_block(kernel, CNetwork(5, layers), scheme)


@pytest.mark.parametrize("scheme", PRECISIONS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_model_is_exported_and_passes_its_self_test(
    tmp_path: Path, activation: str, scheme: str
) -> None:
    spec = one_layer_spec("rnn", activation=activation)
    check_exported(spec, tmp_path, scheme, "dense.c", "rnn.c")
