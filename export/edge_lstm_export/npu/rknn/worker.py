"""Runs inside the converter's environment: builds one model with rknn-toolkit2, exports it, and
simulates it on request.

`start` loads it, after it has set the limits. The board's own adapter drives the simulator, because
the two take the same calls.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from rknn.api import RKNN
from ruamel.yaml import YAML

from edge_lstm_runtime.backends.rknn.board import RknnBackend
from edge_lstm_runtime.backends.rknn.packing import Packing


def build(job: dict[str, Any], folder: Path) -> RKNN:
    """Reads model.onnx in `folder` and, to quantize, dataset.txt. Writes model.rknn there.

    job: target, scheme, recipe (see `graphs.form.Form`), files (name -> sha256).
    """
    for name, digest in job["files"].items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise RuntimeError(f"{name} has changed since it was written")
    recipe = job["recipe"]
    quantized = job["scheme"] != "fp16"
    options: dict[str, Any] = {"quantized_dtype": job["scheme"]} if quantized else {}
    if rules := recipe.get("disable_rules"):
        options["disable_rules"] = rules
    dataset = str(folder / "dataset.txt") if quantized else None

    def configured() -> RKNN:
        rknn = RKNN(verbose=True)
        _checked("config", rknn.config(target_platform=job["target"], **options))
        return rknn

    rknn = configured()
    _checked("load_onnx", rknn.load_onnx(model=str(folder / "model.onnx")))
    if recipe.get("float16") or recipe.get("ranges"):
        _checked("hybrid_quantization_step1", rknn.hybrid_quantization_step1(dataset=dataset))
        files = {
            name: str(folder / f"model.{suffix}")
            for name, suffix in (("model_input", "model"), ("data_input", "data"))
        }
        settings = folder / "model.quantization.cfg"
        _edit(settings, recipe)
        rknn = configured()  # the second step fails on the object that did the first
        _checked(
            "hybrid_quantization_step2",
            rknn.hybrid_quantization_step2(**files, model_quantization_cfg=str(settings)),
        )
    else:
        _checked("build", rknn.build(do_quantization=quantized, dataset=dataset))
    _checked("export_rknn", rknn.export_rknn(str(folder / "model.rknn")))
    return rknn


def _checked(call: str, code: Any) -> None:
    if code not in (0, None):
        raise RuntimeError(f"rknn-toolkit2's {call} returned {code}")


def _edit(settings: Path, recipe: dict[str, Any]) -> None:
    """Put our number formats and ranges into the settings of the converter's first step."""
    # The default kind rounds floats, and the converter refuses changed ones.
    yaml = YAML(typ="safe", pure=True)
    content = yaml.load(settings)
    content["custom_quantize_layers"] = dict.fromkeys(recipe.get("float16", []), "float16")
    parameters = content["quantize_parameters"]
    for name, (low, high) in recipe.get("ranges", {}).items():
        tensor = parameters.get(f"{name}_int8", parameters.get(name))
        if tensor is None:
            raise RuntimeError(f"the converter knows no tensor {name}")
        tensor["min"] = [low]
        tensor["max"] = [high]
    yaml.dump(content, settings)


class Simulator:
    def __init__(self, rknn: RKNN, job: dict[str, Any]):
        if rknn.init_runtime() != 0:
            raise RuntimeError("rknn-toolkit2's simulator did not start")
        self._rknn = rknn
        self._features = job["features"]
        self._sizes: dict[str, int] = job["states"]
        self._packing = Packing(job["recipe"]["io"], features=job["features"], states=self._sizes)
        self._backend = RknnBackend(rknn, self._packing)

    def answer(self, operation: str, array: Any) -> Any:
        """array and result: float32, flat. States lie one after the other."""
        if operation == "reset":
            self._backend.reset()
        elif operation == "run":
            return self._backend.run(array.reshape(-1, self._features))
        elif operation == "trace":
            return self._trace(array.reshape(-1, self._features))
        elif operation == "get_state":
            return np.concatenate(list(self._backend.state.values()))
        elif operation == "set_state":
            parts = np.split(array, np.cumsum(list(self._sizes.values()))[:-1])
            self._backend.state = dict(zip(self._sizes, parts, strict=True))
        else:
            raise ValueError(f"unknown operation {operation!r}")
        return np.empty(0, np.float32)

    def _trace(self, rows: Any) -> Any:
        """(steps, values): all outputs of each step, y, the states and the traced tensors."""
        steps = []
        for row in rows:
            self._packing.put(row)
            outputs = self._rknn.inference(inputs=self._packing.inputs)
            self._packing.take(outputs[: 1 + len(self._sizes)])
            steps.append(np.concatenate([np.ravel(part) for part in outputs]))
        return np.stack(steps)


class Worker:
    """One model: built once, then simulated."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._rknn: RKNN | None = None
        self._job: dict[str, Any] = {}
        self._simulator: Simulator | None = None

    def answer(self, operation: str, job: dict[str, Any], data: bytes) -> bytes:
        """job: of "build". data and result: float32."""
        if operation == "build":
            self._job = job
            self._rknn = build(job, self._folder)
            path = self._folder / "model.rknn"
            return hashlib.sha256(path.read_bytes() if path.exists() else b"").digest()
        if self._simulator is None:
            assert self._rknn is not None, "build comes first"
            self._simulator = Simulator(self._rknn, self._job)
        return np.ascontiguousarray(
            self._simulator.answer(operation, np.frombuffer(data, np.float32)), np.float32
        ).tobytes()
