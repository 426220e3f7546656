"""The facts of one conversion, and the files that the converter reads them from."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_lstm_runtime import ModelSpec
from edge_lstm_runtime.backends.rknn.packing import Packing

from ...quantize.calibration import dataset


@dataclasses.dataclass(frozen=True)
class Conversion:
    """One model for one target and scheme.

    graph, recipe: those of a `graphs.form.Form`, the graph as bytes. calibration: float32, as
    `steps.calibrate` makes it: x (N, F), and every state (N, size) by name. For whole sequences it
    is x (N, T, F) alone, and for fp16 it isn't read.
    """

    spec: ModelSpec
    graph: bytes
    recipe: Mapping[str, Any]
    target: str
    scheme: str
    calibration: Mapping[str, NDArray[np.float32]]

    @property
    def label(self) -> str:
        return f"{self.target} {self.scheme}"

    @property
    def steps(self) -> int:
        """The number of steps that the model takes at once."""
        steps: int = self.recipe["io"].get("steps", 1)
        return steps

    @property
    def job(self) -> dict[str, Any]:
        """What the worker is told. JSON."""
        return {
            "target": self.target,
            "scheme": self.scheme,
            "recipe": dict(self.recipe),
            "features": self.spec.inputs.feature_size,
            "states": self.spec.network.state,
        }

    def write(self, folder: Path) -> dict[str, str]:
        """model.onnx and, to quantize, dataset.txt with its samples. Returns the sha256 of each."""
        contents = {"model.onnx": self.graph}
        if self.scheme != "fp16":
            contents |= self._dataset(folder)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}

    def _dataset(self, folder: Path) -> dict[str, bytes]:
        """The vendor's format: a text file with a line for each sample, and on each line an .npy
        file for each input, in the graph's order and shape."""
        contents: dict[str, bytes] = {}
        spec = self.spec
        sizes = spec.network.state
        packing = Packing(self.recipe["io"], features=spec.inputs.feature_size, states=sizes)
        recurrent = {f"{layer.name}.{layer.recurrent}" for layer in spec.network.layers}
        multiplied = recurrent & set(sizes)
        shapes = [
            [d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in onnx.load_from_string(self.graph).graph.input
        ]
        samples = dataset(self.calibration)
        steps = packing.steps
        xs = samples["x"]
        lines = []
        for n in range(len(xs)):
            state = {name: samples[name][n] for name in sizes}
            if steps > 1 and n < 2:
                # Over several steps the converter aborts if the h that it sees doesn't reach from
                # -1 to 1.
                state |= {name: np.full(sizes[name], 1.0 - 2 * n) for name in multiplied}
            packing.state = state
            several = steps > 1 and not spec.whole
            packing.put(np.take(xs, range(n, n + steps), axis=0, mode="wrap") if several else xs[n])
            names = [f"calibration_{n}_{i}.npy" for i in range(len(shapes))]
            for name, array, shape in zip(names, packing.inputs, shapes, strict=True):
                buffer = io.BytesIO()
                np.save(buffer, array.reshape(shape))
                contents[name] = buffer.getvalue()
            lines.append(" ".join(str(folder / name) for name in names))
        return contents | {"dataset.txt": ("\n".join(lines) + "\n").encode()}
