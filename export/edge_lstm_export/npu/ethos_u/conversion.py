"""The facts of one compilation, and the files that the compiler's process reads them from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.model.npz import write_npz

from .rounding import rounded
from .targets import EthosTarget

FINE = "fine"
FORMS = {"a8w8": ("plain", "mixed"), "a16w8": ("plain", FINE)}  # the cheaper one first


@dataclasses.dataclass(frozen=True)
class Conversion:
    """One model for one target, scheme and form.

    calibration: x (N, F) and every state (N, size) before the step, by name.
    """

    spec: ModelSpec
    weights: Mapping[str, NDArray[np.float32]]
    calibration: Mapping[str, NDArray[np.float32]]
    target: EthosTarget
    scheme: str
    form: str

    @property
    def label(self) -> str:
        return f"{self.target.name} {self.scheme} {self.form}"

    @property
    def job(self) -> dict[str, Any]:
        """What the worker is told. JSON."""
        return {
            "features": self.spec.inputs.feature_size,
            "layers": self.spec.network.to_list(),
            "scheme": self.scheme,
            "form": self.form,
            "target": {
                "accelerator": self.target.npu,
                "system_config": self.target.system_config,
                "memory_mode": self.target.memory_mode,
                "section": dict(self.target.section),
            },
        }

    def rounded(self) -> dict[str, NDArray[np.float32]]:
        """The weights that are compiled. `fine` has integers enough for them as they are."""
        if self.form == FINE:
            return dict(self.weights)
        return rounded(self.spec.network, self.weights, self.calibration)

    def write(self, folder: Path) -> dict[str, str]:
        """The weights, exact and rounded, and the calibration set. Returns the sha256 of each
        file."""
        names = ("x", *self.spec.network.state)
        drawn = {name: self.calibration[name] for name in names}
        contents = {
            "job.json": json.dumps(self.job).encode(),
            "weights.npz": write_npz(dict(self.weights)),
            "rounded.npz": write_npz(self.rounded()),
            "calibration.npz": write_npz(drawn),
        }
        return written(contents, folder)


def written(contents: Mapping[str, bytes], folder: Path) -> dict[str, str]:
    """Writes the files. Returns the sha256 of each."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
