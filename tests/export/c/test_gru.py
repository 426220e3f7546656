"""GRU layers in the model block that the export writes in Python."""

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
@pytest.mark.parametrize("option", [0, 1])
@pytest.mark.parametrize("units", [1, 6, 17])
def test_block_and_sizes_are_the_kernels_own(
    kernel: ctypes.CDLL, units: int, option: int, scheme: str
) -> None:
    layers = (
        CLayer("gru", units, (0,), option),
        CLayer("gru", 9, (1, 0), 1 - option),
        CLayer("dense", 3, (2,)),
    )
    same_block(kernel, CNetwork(5, layers), scheme)


@pytest.mark.parametrize("scheme", PRECISIONS)
@pytest.mark.parametrize("linear_before_reset", [False, True])
def test_a_model_is_exported_and_passes_its_self_test(
    tmp_path: Path, linear_before_reset: bool, scheme: str
) -> None:
    spec = one_layer_spec("gru", linear_before_reset=linear_before_reset)
    check_exported(spec, tmp_path, scheme, "dense.c", "gru.c")
