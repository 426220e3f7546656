"""Layers without a recurrent product in the model block that the export writes in Python, and in
exported folders. Their C files say which option is what.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c.block import PRECISIONS
from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.model.network import network_from
from edge_lstm_runtime.native import CLayer, CNetwork
from helpers.c_folder import STRICT, bundle_of, headers, passed, run, same_block, sources
from helpers.specs import plain_spec

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def conv(kernel: int, dilation: int, activation: int) -> int:
    return (kernel - 1) + 2**14 * (dilation - 1) + 2**28 * activation


EPSILON = 0x3727C5AC  # 1e-5
NETWORKS = {
    "combine": CNetwork(
        3,
        (
            CLayer("dense", 3, (0,)),
            CLayer("combine", 3, (0, 1), 0),
            CLayer("combine", 3, (0, 1, 2), 1),
            CLayer("combine", 9, (3, 0, 1), 2),
        ),
    ),
    "nothing but a sum": CNetwork(20, (CLayer("combine", 20, (0, 0), 0),)),
    "vectors": CNetwork(
        17,
        (
            CLayer("scale", 17, (0,), 0),
            CLayer("scale", 17, (1,), 1),
            CLayer("prelu", 17, (2,)),
            CLayer("layer-norm", 17, (3,), EPSILON),
            CLayer("scale", 17, (4,), 2),
            CLayer("scale", 17, (5,), 3),
            CLayer("softmax", 17, (6,)),
        ),
    ),
    "causal-conv": CNetwork(
        5,
        (
            CLayer("causal-conv", 18, (0,), conv(3, 4, 1)),
            CLayer("causal-conv", 2, (1, 0), conv(2, 1, 3)),
            CLayer("gru", 7, (2, 1), 1),
            CLayer("causal-conv", 3, (3,), conv(4, 9, 0)),
        ),
    ),
    "embedding": CNetwork(
        1, (CLayer("embedding", 6, (0,), 11), CLayer("lstm", 5, (1,)), CLayer("dense", 1, (2,)))
    ),
    "embedding of one": CNetwork(1, (CLayer("embedding", 1, (0,), 1),)),
}


@pytest.mark.parametrize("scheme", PRECISIONS)
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_block_and_sizes_are_the_kernels_own(
    kernel: ctypes.CDLL, network: CNetwork, scheme: str
) -> None:
    same_block(kernel, network, scheme)


def all_layers() -> ModelSpec:
    """Every type that is not recurrent, and a GRU. Two states begin at other values than zero."""
    begin = np.random.default_rng(3).normal(size=12).round(3).tolist()
    layers: list[dict[str, Any]] = [
        {"type": "causal-conv", "name": "conv", "inputs": ["x"], "units": 6, "kernel": 3},
        {"type": "layer-norm", "name": "norm", "inputs": ["conv"]},
        {"type": "gru", "name": "gru", "inputs": ["norm"], "units": 6, "initial": [begin[:6]]},
        {"type": "combine", "name": "sum", "inputs": ["norm", "gru"], "operation": "add"},
        {"type": "combine", "name": "both", "inputs": ["sum", "x"], "operation": "concat"},
        {"type": "scale", "name": "gate", "inputs": ["both"], "activation": "sigmoid"},
        {"type": "prelu", "name": "slope", "inputs": ["both"]},
        {"type": "combine", "name": "mul", "inputs": ["gate", "slope"], "operation": "mul"},
        {"type": "dense", "name": "number", "inputs": ["mul"], "units": 1},
        {"type": "embedding", "name": "table", "inputs": ["number"], "count": 4, "units": 5},
        {"type": "combine", "name": "all", "inputs": ["table", "mul"], "operation": "concat"},
        {"type": "dense", "name": "head", "inputs": ["all"], "units": 3},
        {"type": "softmax", "name": "share", "inputs": ["head"]},
    ]
    layers[0] |= {"dilation": 2, "activation": "tanh", "initial": [begin]}
    return dataclasses.replace(plain_spec(1, 8), network=network_from(3, layers))


FILES = [
    *("causal_conv.c", "combine.c", "dense.c", "edge_lstm.c", "embedding.c", "gru.c"),
    *("layer_norm.c", "model.c", "prelu.c", "scale.c", "softmax.c"),
]
# It answers the first sample of a stream twice: as it begins, and after `model_reset`.
TWICE = r"""
#include "model.h"
#include <stdio.h>
#include <string.h>

int main(void) {
    const double sample[MODEL_CHANNELS] = {0.5, -1.0, 0.25};
    float first[MODEL_OUTPUTS], other[MODEL_OUTPUTS], again[MODEL_OUTPUTS];
    if (model_init() || model_step(sample, first) || model_step(sample, other)) return 2;
    model_reset();
    if (model_step(sample, again)) return 2;
    puts(memcmp(first, again, sizeof first) || !memcmp(first, other, sizeof first) ? "no" : "yes");
    return 0;
}
"""


@pytest.mark.parametrize("scheme", PRECISIONS)
def test_a_model_is_exported_and_passes_its_self_test(tmp_path: Path, scheme: str) -> None:
    bundle = bundle_of(all_layers(), tmp_path / "model.edge")
    folder = export_c(bundle, tmp_path / "model", scheme=scheme).folder
    passed(run("make", f"CFLAGS=-O1 {STRICT}", "test", cwd=folder))
    assert [path.name for path in sources(folder)] == FILES
    (tmp_path / "twice.c").write_text(TWICE)
    flags = (*headers(folder), "-o", tmp_path / "twice")
    done = run("gcc", *flags, tmp_path / "twice.c", *sources(folder))
    assert run(tmp_path / "twice").stdout == "yes\n", done.stderr
    made = json.loads((folder / "model.json").read_text())
    header = (folder / "include" / "model.h").read_text()
    # The state on this machine, each channel's last value, and the clock's count.
    assert f"MODEL_STATE_BYTES {made['bytes']['ram'] - 28}" in header


@pytest.mark.slow
def test_a_microcontroller(tmp_path: Path) -> None:
    for program in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    bundle = bundle_of(all_layers(), tmp_path / "model.edge")
    folder = export_c(bundle, tmp_path / "model").folder
    passed(run("make", f"CFLAGS=-O2 {STRICT}", "test", cwd=folder / "cortex-m"))
