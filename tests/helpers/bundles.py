"""What the runtime's tests share: the tolerance table, a comparison that names the place, and small models to stream."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import settings
from numpy.typing import NDArray

import edge_lstm_runtime as rt
from edge_lstm_runtime.model.npz import write_npz

Array = NDArray[Any]
Weights = dict[str, NDArray[np.float32]]


class Limit(NamedTuple):
    absolute: float
    reason: str


TOLERANCES = {
    "float64": Limit(1e-12, "the same equations in float64, summed in another order and with another form of the sigmoid"),
    "float32": Limit(1e-5, "float32 rounds at 6e-8; sums of ~100 terms, carried 1,000 steps through a contracting recurrence"),
    "exact": Limit(0.0, "the same operations on the same numbers in the same order"),
    "features": Limit(1e-12, "float64; a division by the deviation in one place, a product with its inverse in the other"),
}

# No example database: a test run leaves no files in the working folder.
PROPERTY = settings(database=None, deadline=None, max_examples=60)


def assert_close(actual: Array, expected: Array, tolerance: str, tensor: str) -> None:
    """Fail with the tensor, the largest difference and its place. Shapes must agree; NaN equals nothing."""
    limit = TOLERANCES[tolerance]
    assert actual.shape == expected.shape, f"{tensor}: shape {actual.shape}, expected {expected.shape}"
    if not actual.size:
        return
    difference = np.abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64))
    difference[~np.isfinite(difference)] = np.inf
    place = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), difference.shape))
    assert difference.max() <= limit.absolute, (
        f"{tensor}: differs by {difference.max():.3g} at {place} ({actual[place]!r} against {expected[place]!r}); "
        f"{tolerance} allows {limit.absolute:g}: {limit.reason}"
    )


def make_spec(
    *,
    task: str = "classify",
    channels: int | Sequence[str] = 3,
    hidden: int = 8,
    layers: int = 1,
    outputs: int = 4,
    missing: str = "refuse",
    residual: bool = False,
    bidirectional: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> rt.ModelSpec:
    """outputs: the number of classes, or the horizon of a forecast of the first channel and, where there is one, the second."""
    names = tuple(f"ch{k}" for k in range(channels)) if isinstance(channels, int) else tuple(channels)
    common: dict[str, Any] = {
        "task": task,
        "channels": names,
        "hidden_size": hidden,
        "num_layers": layers,
        "input_mean": tuple(mean) if mean is not None else tuple(0.5 * k - 1.0 for k in range(len(names))),
        "input_std": tuple(std) if std is not None else tuple(1.0 + 0.25 * k for k in range(len(names))),
        "missing": missing,
    }
    if task == "classify":
        return rt.ModelSpec(**common, classes=tuple(f"class{k}" for k in range(outputs)), bidirectional=bidirectional)
    targets = names[:2]
    size = outputs * len(targets)
    return rt.ModelSpec(
        **common,
        targets=targets,
        horizon=outputs,
        output_offset=tuple(0.1 * k for k in range(size)),
        output_scale=tuple(1.0 + 0.5 * k for k in range(size)),
        residual=residual,
    )


def random_weights(spec: rt.ModelSpec, seed: int = 0) -> Weights:
    """Uniform in +-1/sqrt(H), as PyTorch starts; the forget gate open, so that the cell remembers for long."""
    rng = np.random.default_rng(seed)
    bound = 1.0 / np.sqrt(max(spec.hidden_size, 4))
    weights = {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in spec.weight_shapes().items()}
    for name in weights:
        if name.startswith("layer") and name.endswith(".b"):
            weights[name][spec.hidden_size : 2 * spec.hidden_size] += 1
    return weights


def int8_arrays(spec: rt.ModelSpec) -> dict[str, Array]:
    """Of int8.npz, see docs/bundle.md."""
    rng = np.random.default_rng(4)
    arrays: dict[str, Array] = {}
    for k in range(spec.num_layers):
        for part in "xh":
            shape = spec.weight_shapes()[f"layer{k}.W_{part}"]
            arrays[f"layer{k}.W_{part}"] = rng.integers(-127, 128, shape, np.int8)
            arrays[f"layer{k}.step_{part}"] = rng.uniform(1e-4, 1e-3, shape[1]).astype(np.float32)
        arrays[f"layer{k}.b"] = np.ones(4 * spec.hidden_size, np.float32)
    return arrays


def samples(spec: rt.ModelSpec, steps: int, seed: int = 1) -> NDArray[np.float64]:
    """(steps, C) raw units: slow waves and noise around each channel's mean."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(steps)[:, None] / (7.0 + 3.0 * np.arange(spec.input_size)))
    noise = rng.standard_normal((steps, spec.input_size))
    return np.asarray(spec.input_mean) + np.asarray(spec.input_std) * (waves + 0.5 * noise)


def network_outputs(spec: rt.ModelSpec, weights: Weights, xs: Array) -> NDArray[np.float64]:
    from edge_lstm_runtime.inputs.channels import features

    outputs: NDArray[np.float64] = rt.Reference(spec, weights).run(features(spec, xs)[0])
    return outputs


def members_of(spec: rt.ModelSpec, weights: Weights, *, steps: int = 40, form: str | None = None) -> dict[str, bytes]:
    """golden.npz, and model.onnx in the given form."""
    xs = samples(spec, steps)
    members = {"golden.npz": write_npz({"x": xs, "y": network_outputs(spec, weights, xs)})}
    if form is not None:
        from edge_lstm_export.graphs.bundle import build

        members["model.onnx"] = build(spec, weights, form).SerializeToString(deterministic=True)
    return members


def make_bundle(
    path: Path, spec: rt.ModelSpec | None = None, *, seed: int = 0, steps: int = 40, form: str | None = None, **facts: Any
) -> rt.Bundle:
    spec = spec or make_spec()
    weights = random_weights(spec, seed)
    return rt.write_bundle(path, spec, weights, members_of(spec, weights, steps=steps, form=form), **facts)


def artifact_entry(target: str = "rk3588", metric: str = "nrmse", limit: float = 2e-3) -> dict[str, Any]:
    return {"kind": "rknn", "target": target, "tolerance": {"metric": metric, "limit": limit, "reason": "as the export found it"}}


def environment(*folders: Path) -> dict[str, str]:
    """For a child process: the packages under test, wherever this process found them, then `folders`."""
    here = [*map(str, folders), str(Path(rt.__file__).parents[1]), *(p for p in sys.path if p)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(here)), "PYTHONDONTWRITEBYTECODE": "1"}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "edge_lstm_runtime.cli", *map(str, arguments)]


def edge_lstm(
    *arguments: str | Path, text: str | bytes | None = None, folders: Sequence[Path] = (), **environ: str
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    data = text.encode() if isinstance(text, str) else text
    done = subprocess.run(
        command(*arguments), input=data, capture_output=True, env={**environment(*folders), **environ}, timeout=60, check=False
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


class OrtRuntime:
    """The call signature of the vendor's runtime, computed by ONNX Runtime on the same cell graph: real numbers without the NPU.

    It hands out the same output buffers again at every call, as a runtime with mapped NPU memory may.
    """

    def __init__(self, model: bytes):
        import onnxruntime

        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._names = [i.name for i in self._session.get_inputs()]
        self._buffers: list[Array] = []
        self.calls = 0
        self.released = 0
        self.fail_at: int | None = None

    def inference(self, inputs: Sequence[NDArray[np.float32]]) -> list[Array] | None:
        self.calls += 1
        if self.calls == self.fail_at:
            return None
        for array in inputs:
            assert array.dtype == np.float32, array.dtype
            assert array.shape[:3] == (1, 1, 1), array.shape
        outputs = self._session.run(None, {n: a.reshape(1, -1, 1, 1) for n, a in zip(self._names, inputs, strict=True)})
        if not self._buffers:
            self._buffers = [np.empty_like(o) for o in outputs]
        for buffer, output in zip(self._buffers, outputs, strict=True):
            buffer[...] = output
        return self._buffers

    def release(self) -> int:
        self.released += 1
        return 0


def rknn_on_ort(spec: rt.ModelSpec, weights: Weights) -> tuple[rt.Backend, OrtRuntime]:
    from edge_lstm_export.graphs.bundle import build
    from edge_lstm_runtime.backends.rknn.board import RknnBackend
    from edge_lstm_runtime.backends.rknn.packing import Packing

    runtime = OrtRuntime(build(spec, weights, "cell").SerializeToString())
    return RknnBackend(
        runtime, Packing({"form": "cell"}, features=spec.feature_size, hidden=spec.hidden_size, layers=spec.num_layers)
    ), runtime


BACKENDS = ("reference", "numpy", "onnx-lstm", "onnx-cell", "rknn-adapter")


def open_any(name: str, spec: rt.ModelSpec, weights: Weights) -> rt.Backend:
    """A backend by the names of BACKENDS, without a bundle."""
    from edge_lstm_runtime.backends.numpy import NumpyBackend
    from edge_lstm_runtime.backends.onnx import OnnxBackend

    if name == "reference":
        return rt.Reference(spec, weights)
    if name == "numpy":
        return NumpyBackend(spec, weights)
    if name == "rknn-adapter":
        return rknn_on_ort(spec, weights)[0]
    from edge_lstm_export.graphs.bundle import build

    return OnnxBackend(spec, build(spec, weights, name.removeprefix("onnx-")).SerializeToString())
