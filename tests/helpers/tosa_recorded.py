"""Two programs of integers with a stream that TOSA's reference model answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.tosa.program import pack
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.network import network_from
from edge_lstm_runtime.tasks.classify import Classify
from helpers.bundles import artifact_entry, members_of
from helpers.paths import ROOT
from helpers.weights import random_weights

# Each was lowered by ExecuTorch 1.5.1 (16 units, int16 or int8, weights in int8), and run for 1,000
# steps on the reference model of tosa-tools 2026.5.0, every state fed back.
FILES = {"gru": "gru_a16w8.npz", "lstm": "lstm_a8w8.npz"}


class Recorded:
    def __init__(self, kind: str):
        with np.load(ROOT / "tests/runtime/backends/tosa" / FILES[kind]) as file:
            arrays = dict(file)
        self.program = json.loads(arrays["program"].tobytes())
        self.constants = {
            name.removeprefix("constant."): array
            for name, array in arrays.items()
            if name.startswith("constant.")
        }
        layers = [
            {"type": kind, "name": f"{kind}0", "inputs": ["x"], "units": 16},
            {"type": "dense", "name": "head", "inputs": [f"{kind}0"], "units": 4},
        ]
        self.target = "ethos-u55-128"
        self.scheme = FILES[kind].split("_")[1].removesuffix(".npz")
        names = tuple("abcdefgh")
        channels = Channels(names, (0.0,) * 8, (1.0,) * 8)
        self.spec = rt.ModelSpec(channels, network_from(8, layers), Classify(("p", "q", "r", "s")))
        self.floats = {name: self.real(name, arrays[name]) for name in ("x", "y")}
        self.states = {
            name: self.real(name, arrays[f"state.{name}"]) for name in self.spec.network.state
        }

    def real(self, name: str, integers: NDArray[Any]) -> NDArray[np.float32]:
        edge = self.program["edges"][name]
        exact = (integers.astype(np.float64) - edge["zero_point"]) * edge["scale"]
        found: NDArray[np.float32] = exact.astype(np.float32)
        return found

    def bundle(self, path: Path, beside: Mapping[str, bytes] | None = None) -> rt.Bundle:
        """npu.edge in the folder `path`, with a.tosa and these members."""
        weights = random_weights(self.spec)
        entry = {
            **artifact_entry(self.target, limit=0.15),
            "kind": "tosa",
            "scheme": self.scheme,
        }
        members = {
            **members_of(self.spec, weights),
            "a.tosa": pack(self.program, self.constants),
            **(beside or {}),
        }
        return rt.write_bundle(
            path / "npu.edge", self.spec, weights, members, artifacts={"a.tosa": entry}
        )
