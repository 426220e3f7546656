"""GRU layers in the model block that the export writes in Python."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c.block import PRECISIONS
from edge_lstm_runtime.layers import LAYERS
from edge_lstm_runtime.model.network import network_from
from edge_lstm_runtime.native import CLayer, CNetwork
from helpers.c_folder import STRICT, bundle_of, compile_kernel, passed, run, same_block, sources
from helpers.specs import plain_spec

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@pytest.mark.parametrize("scheme", PRECISIONS)
@pytest.mark.parametrize("option", [0, 1])
@pytest.mark.parametrize("units", [1, 6, 17])
def test_block_and_sizes_are_the_kernels_own(
    tmp_path: Path, units: int, option: int, scheme: str
) -> None:
    layers = (
        CLayer("gru", units, (0,), option),
        CLayer("gru", 9, (1, 0), 1 - option),
        CLayer("dense", 3, (2,)),
    )
    same_block(compile_kernel(tmp_path), CNetwork(5, layers), scheme)


@pytest.mark.skipif("gru" not in LAYERS, reason="the runtime has no such layer yet")
@pytest.mark.parametrize("scheme", PRECISIONS)
@pytest.mark.parametrize("linear_before_reset", [False, True])
def test_a_model_is_exported_and_passes_its_self_test(
    tmp_path: Path, linear_before_reset: bool, scheme: str
) -> None:
    layers = [
        {
            "type": "gru",
            "name": "gru0",
            "inputs": ["x"],
            "units": 13,
            "linear_before_reset": linear_before_reset,
        },
        {"type": "dense", "name": "head", "inputs": ["gru0"], "units": 3},
    ]
    spec = dataclasses.replace(plain_spec(1, 8), network=network_from(3, layers))
    bundle = bundle_of(spec, tmp_path / "model.edge")
    made = export_c(bundle, tmp_path / "model", scheme=scheme).folder
    passed(run("make", f"CFLAGS=-O2 {STRICT}", "test", cwd=made))
    assert sorted(path.name for path in sources(made)) == sorted(
        ["dense.c", "edge_lstm.c", "gru.c", "model.c"]
    )
