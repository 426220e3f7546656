"""What the tests of the C export share: models of every kind to export, and commands to run."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np

import hatch_build
from edge_lstm_export import export_c
from edge_lstm_export.c import block
from edge_lstm_export.c.layers import Form, form_of
from edge_lstm_runtime import ModelSpec, Reference, write_bundle
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.native import PRECISIONS, CNetwork, layer_types
from edge_lstm_runtime.tasks.forecast import Detector, Forecast
from helpers.c_layers import input_size
from helpers.specs import chain, mixed_spec
from helpers.weights import normal_weights

STRICT = "-Wall -Wextra -Wdouble-promotion -Wfloat-conversion -Wconversion -Werror"
# A name that C would give a meaning in a string, a comment or a format.
ODD = 'a "b" */ // ??/ %s \\n é'


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


def sources(folder: Path) -> list[Path]:
    """All of an exported folder, as a build finds them that looks in `src` alone."""
    return sorted((folder / "src").rglob("*.c"))


def headers(folder: Path) -> list[str]:
    """Options for a program of one's own that calls the model and has its golden samples."""
    return [f"-I{folder / part}" for part in ("include", "examples/selftest")]


def golden_file(folder: Path) -> Path:
    return folder / "examples" / "selftest" / "golden.h"


def passed(done: subprocess.CompletedProcess[str]) -> str:
    """The self-test's line of figures. AssertionError with all output unless it passed."""
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in lines, done.stdout + done.stderr
    return next(line for line in lines if line.startswith("largest error"))


def masked_bundle(path: Path) -> Path:
    """A forecast of two targets with residual answers, and missing values that the model is told.

    Its sizes fill no tile, and its names are odd.
    """
    rng = np.random.default_rng(5)
    mean = (20.0, 101325.0, -3e-4)
    std = (4.0, 130.5, 2e-5)
    inputs = Channels((ODD, "pressure", "flow"), mean, std, missing="mask")
    offset = (0.5, 0.0) * 3
    scale = (130.5, 4.0) * 3
    answer = Forecast(("pressure", ODD), 3, offset, scale, residual=True)
    spec = ModelSpec(inputs, chain(6, 13, 3, 6), answer)
    weights = normal_weights(spec, rng)
    x = np.asarray(mean) + np.asarray(std) * rng.normal(size=(1000, 3))
    x[rng.random(x.shape) < 0.1] = np.nan
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path


def mixed_bundle(path: Path) -> Path:
    """Layers of unequal sizes, with activations, some of which read several others."""
    return bundle_of(mixed_spec(), path)


def bundle_of(spec: ModelSpec, path: Path) -> Path:
    """A model with random weights, and golden samples."""
    weights = normal_weights(spec)
    x = np.random.default_rng(8).normal(size=(300, spec.input_size))
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path


def timed_detector_bundle(path: Path) -> Path:
    """A detector over two targets and three steps ahead, with an irregular clock and gaps.

    Its threshold lies amid the scores.
    """
    rng = np.random.default_rng(6)
    inputs = Channels(
        ("a", "elapsed", "b"),
        mean=(1.0, 0.7, -2.0),
        std=(2.0, 0.4, 1.0),
        missing="ffill",
        dt="elapsed",
        dt_unit=300.0,
        time="when",
    )
    detector = Detector(
        centre=(0.1, -0.2, 0.0, 0.3, 0.2, 0.1),
        scale=(1.0, 1.5, 2.0, 1.1, 0.9, 1.3),
        threshold=2.0,
        smoothing=0.5,
    )
    answer = Forecast(
        ("b", "a"), 3, (0.1, 0.0) * 3, (1.5, 2.0) * 3, residual=True, detector=detector
    )
    spec = ModelSpec(inputs, chain(3, 9, 1, 6), answer)
    weights = normal_weights(spec, rng)
    x = np.stack(
        [
            rng.normal(1, 2, 400),
            rng.choice([0.0, 300.0, 86400.0, 1.5], 400),
            rng.normal(-2, 1, 400),
        ],
        axis=1,
    )
    gaps = rng.random(x.shape) < 0.1
    x[gaps] = np.nan
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path


def quantiles_bundle(path: Path) -> Path:
    """Quantiles of two targets at listed steps ahead, with widths and bounds, on top of the value
    now. Random outputs cross often, and many answers are at a bound.
    """
    rng = np.random.default_rng(9)
    inputs = Channels(("a", "b"), (1.0, 500.0), (2.0, 30.0), missing="ffill")
    answer = Forecast(
        ("b", "a"),
        (1, 6, 24),
        (0.5,) * 18,
        (30.0,) * 3 + (2.0,) * 3 + (40.0,) * 3 + (2.5,) * 3 + (50.0,) * 3 + (3.0,) * 3,
        residual=True,
        quantiles=(0.1, 0.5, 0.9),
        widths=(1.25, 1.0, 0.8) * 6,
        low=(None, 0.0),
        high=(520.0, 3.0),
    )
    spec = ModelSpec(inputs, chain(2, 9, 2, 18), answer)
    weights = normal_weights(spec, rng)
    x = rng.normal(size=(400, 2)) * (2.0, 30.0) + (1.0, 500.0)
    x[rng.random(x.shape) < 0.1] = np.nan
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path


def listed_detector_bundle(path: Path) -> Path:
    """A detector over listed steps ahead, whose answers have a lower bound."""
    rng = np.random.default_rng(10)
    inputs = Channels(("a", "b"), (1.0, -2.0), (2.0, 1.0))
    detector = Detector(
        (0.1, -0.2, 0.0, 0.3, 0.2, 0.1), (1.0, 1.5, 2.0, 1.1, 0.9, 1.3), 2.0, smoothing=0.5
    )
    steps = (2, 3, 7)
    answer = Forecast(
        ("b", "a"), steps, (0.1, 0.0) * 3, (1.5, 2.0) * 3, low=(-1.0, None), detector=detector
    )
    spec = ModelSpec(inputs, chain(2, 9, 1, 6), answer)
    weights = normal_weights(spec, rng)
    x = rng.normal(size=(400, 2)) * (2.0, 1.0) + (1.0, -2.0)
    golden = write_npz({"x": x, "y": Reference(spec, weights).run(spec.features(x))})
    write_bundle(path, spec, weights, {"golden.npz": golden})
    return path


def check_exported(spec: ModelSpec, folder: Path, scheme: str, *files: str) -> None:
    """A model of random weights becomes C that passes its self-test. files: of its layers."""
    bundle = bundle_of(spec, folder / "model.edge")
    made = export_c(bundle, folder / "model", scheme=scheme).folder
    passed(run("make", f"CFLAGS=-O2 {STRICT}", "test", cwd=made))
    assert {path.name for path in sources(made)} == {"edge_lstm.c", "model.c", *files}


def compile_kernel(folder: Path) -> ctypes.CDLL:
    """The kernel alone, as in a firmware."""
    done = run("gcc", "-O1", "-shared", "-fPIC", *hatch_build.sources(), "-o", folder / "kernel.so")
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(folder / "kernel.so"))


class NetworkInC(ctypes.Structure):
    """el_network"""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("inputs", "layers", "precision")),
        ("layer", ctypes.c_void_p),
    )


def _columns(form: Form) -> list[int]:
    """Groups of columns in the canonical W_x, W_h and W_n, or 0 for none."""
    return [
        1 + max((c for stage in form.stages for c in stage.products[k].columns), default=-1)
        for k in range(3)
    ]


def same_block(kernel: ctypes.CDLL, network: CNetwork, scheme: str) -> None:
    """The export's block and sizes are the kernel's, for random weights.

    Each matrix has a column of zeros.
    """
    rng = np.random.default_rng(7)
    table = []
    flat = []
    parameters = []
    for layer in network.layers:
        inputs = input_size(network, layer)
        form = form_of(layer, inputs)
        groups = (g for stage in form.stages for groups in stage.biases for g in groups)
        biases = 1 + max(groups, default=-1)
        rows = inputs if form.rows is None else form.rows
        shapes = [
            (n, k * layer.units)
            for n, k in zip((rows, layer.units, layer.units), _columns(form), strict=True)
            if k
        ]
        W = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
        for matrix in W:
            matrix[:, 0] = 0
        b = rng.normal(size=biases * layer.units).astype(np.float32)
        table.append(
            [
                layer_types()[layer.type],
                layer.units,
                layer.option,
                len(layer.sources),
                *layer.sources,
                99,
                99,
                99,
            ][:8]
        )
        flat += [matrix.ravel() for matrix in (*W, b)]
        if scheme == "int8" and form.states:
            pairs = [block.quantize(matrix) for matrix in W]
            parameters.append(
                block.Parameters(tuple(q for q, _ in pairs), b, tuple(step for _, step in pairs))
            )
        else:
            parameters.append(block.Parameters(tuple(W), b))
    words = np.array(table, np.uint32)
    weights = np.concatenate([*flat, np.empty(0, np.float32)])
    described = NetworkInC(network.inputs, len(table), PRECISIONS.index(scheme), words.ctypes.data)
    size = ctypes.c_size_t()
    count = ctypes.c_size_t()
    steps = ctypes.c_size_t()
    assert (
        kernel.el_weight_values(ctypes.byref(described), ctypes.byref(count), ctypes.byref(steps))
        == 0
    )
    assert count.value == weights.size
    assert kernel.el_model_bytes(ctypes.byref(described), b"portable", ctypes.byref(size)) == 0
    memory = np.zeros(size.value + 64, np.uint8)
    memory = memory[-memory.ctypes.data % 64 :][: size.value]
    pointer, given = (ctypes.c_void_p(array.ctypes.data) for array in (memory, weights))
    assert (
        kernel.el_model_init(pointer, size, ctypes.byref(described), b"portable", given, None) == 0
    )
    packed = block.pack(network, parameters, scheme)
    assert len(packed) == block.model_bytes(network, scheme) == size.value
    assert packed == memory.tobytes()
    assert kernel.el_state_bytes(pointer, 1, ctypes.byref(size)) == 0
    assert size.value == block.state_bytes(network, scheme)


def contents(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
