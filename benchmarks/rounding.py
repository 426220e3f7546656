"""How far apart correct implementations of a net are, which the tolerances rest on.

float32: random nets that forget and that remember (the forget gate's bias is raised), 600 steps of
noise. The figures are the largest error of NumPy, the native kernel and ONNX Runtime against
float64, and how far the answers move if each weight becomes the next number in float32.

fp16: three recipes' nets in NumPy, rounded to float16 in five ways.

No figure is from a board. EDGE_LSTM_DATA names the folder with nab/ and cmapss/. A recipe is left
out if its data is missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np
from nets import classifier, gate

from edge_lstm import Run, load_config, train
from edge_lstm.recipes.listing import recipes
from edge_lstm_export.graphs.bundle import build
from edge_lstm_export.measure.tolerances import moved_by_rounding
from edge_lstm_export.steps.draw_stream import golden_stream
from edge_lstm_runtime import Backend, ModelSpec, Reference, compare
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.backends.onnx import OnnxBackend

STEPS = 600
Array = np.ndarray[Any, Any]
Weights = dict[str, Array]
# layers, hidden, seed, how far the forget gate's bias is raised, factor of the layers' weights
NETS = [
    *((n, h, 0, 0.0, 1.0) for n, h in ((1, 8), (1, 64), (2, 64), (1, 256), (3, 256))),
    *((1, 64, 0, 0.0, 3.0), (1, 256, 0, 0.0, 2.0)),
    *((1, 64, 0, forget, 1.0) for forget in (3.0, 4.0, 6.0, 8.0)),
    (2, 64, 0, 4.0, 1.5),
    *((1 + seed % 2, 32, seed, 4.0, 0.6 + 0.1 * seed) for seed in range(20)),
]


def random_net(
    layers: int,
    hidden: int,
    seed: int,
    forget: float,
    gain: float,
) -> tuple[ModelSpec, Weights]:
    rng = np.random.default_rng(seed)
    spec = classifier(6, hidden, layers, 4)
    weights = {}
    for name, shape in spec.network.weights.items():
        scale = np.sqrt(shape[0]) if len(shape) == 2 else 5
        weights[name] = (rng.normal(size=shape) / scale).astype(np.float32)
    for k in range(layers):
        weights[f"lstm{k}.b"][hidden : 2 * hidden] += forget
        weights[f"lstm{k}.W_x"] *= np.float32(gain)
        weights[f"lstm{k}.W_h"] *= np.float32(gain)
    return spec, weights


def float32_errors(spec: ModelSpec, weights: Weights) -> tuple[dict[str, float], float, float]:
    """The largest error of each implementation, the distance moved, and the largest state."""
    rows = np.random.default_rng(7).normal(size=(STEPS, 6)).astype(np.float32)
    reference = Reference(spec, weights)
    expected = reference.run(rows)
    backends: dict[str, Backend] = {
        "numpy": NumpyBackend(spec, weights),
        "native": NativeBackend(spec, weights),
        "fused": OnnxBackend(spec, build(spec, weights, "fused").SerializeToString()),
        "cell": OnnxBackend(spec, build(spec, weights, "cell").SerializeToString()),
    }
    errors = {name: compare(b.run(rows), expected).max_abs for name, b in backends.items()}
    moved = moved_by_rounding(spec, weights, rows, np.array([STEPS]))
    return (
        errors,
        moved,
        max(float(np.abs(a).max()) for n, a in reference.state.items() if n.endswith(".c")),
    )


def half(a: Any) -> Array:
    return np.asarray(a, np.float32).astype(np.float16).astype(np.float32)


def product(v: Array, W: Array, *, sums: bool) -> Array:
    if not sums:
        return np.asarray(v @ W)
    total = np.zeros(W.shape[1], np.float32)
    for x, row in zip(v, W, strict=True):
        total = half(total + half(x * row))
    return total


@dataclasses.dataclass(frozen=True)
class Way:
    """gates, c, sums: whether they are rounded. by_tanh: the sigmoid, in rounded steps."""

    gates: bool = True
    c: bool = True
    by_tanh: bool = False
    sums: bool = False


WAYS = {
    "after each operation": Way(),
    "not inside the gates": Way(gates=False),
    "c in float32": Way(c=False),
    "the sigmoid by tanh": Way(by_tanh=True),
    "sums in float16 too": Way(sums=True),
}


def in_float16(spec: ModelSpec, weights: Weights, rows: Array, way: Way) -> Array:
    """The outputs (steps, O). rows: (steps, F)."""
    weights = {name: half(array) for name, array in weights.items()}
    inside: Callable[[Any], Array] = half if way.gates else np.asarray
    *lstms, head = (spec.network.own(layer, weights) for layer in spec.network.layers)
    hs, cs = ([np.zeros(own["W_h"].shape[0], np.float32) for own in lstms] for _ in range(2))

    def sigmoid(a: Array) -> Array:
        if way.by_tanh:
            return inside(0.5 * (1 + half(np.tanh(half(0.5 * a)))))
        return inside(1 / (1 + np.exp(-a)))

    outputs = []
    for row in half(rows):
        x = row
        for k, own in enumerate(lstms):
            W = np.concatenate([own["W_x"], own["W_h"]])
            z = product(np.concatenate([x, hs[k]]), W, sums=way.sums)
            a = inside(z + own["b"])
            i, f, o = (sigmoid(gate(a, name)) for name in "ifo")
            new = inside(f * cs[k]) + inside(i * inside(np.tanh(gate(a, "g"))))
            cs[k] = half(new) if way.c else new
            hs[k] = x = half(o * inside(np.tanh(cs[k])))
        outputs.append(half(product(x, head["W"], sums=way.sums) + head["b"]))
    return np.stack(outputs)


def float16_errors(run: Run) -> dict[str, float]:
    rows = run.spec.features(golden_stream(run.splits.test, STEPS))
    reference = Reference(run.spec, run.weights).run(rows)
    found = {}
    for name, way in WAYS.items():
        found[name] = compare(in_float16(run.spec, run.weights, rows, way), reference).nrmse
    return found


def main() -> None:
    example = "example: EDGE_LSTM_DATA=data python benchmarks/rounding.py"
    argparse.ArgumentParser(description=__doc__, epilog=example).parse_args()
    print(machine.describe("numpy", "onnxruntime"))
    float32_table()
    float16_table()


def float32_table() -> None:
    net = "layers × hidden | seed | forget | gain | largest c"
    print(f"\n| {net} | numpy | native | onnx fused | onnx cell | moved | worst / moved |")
    print("| --- " * 11 + "|")
    ratios = []
    for layers, hidden, seed, forget, gain in NETS:
        errors, moved, c = float32_errors(*random_net(layers, hidden, seed, forget, gain))
        ratios.append(max(errors.values()) / moved)
        net = f"{layers} × {hidden} | {seed} | +{forget:g} | {gain:g} | {c:.0f}"
        cells = " | ".join(f"{e:.1e}" for e in (*errors.values(), moved))
        print(f"| {net} | {cells} | {ratios[-1]:.2f} |", flush=True)
    print(f"\nworst / moved: {min(ratios):.2f} to {max(ratios):.2f} on {len(ratios)} nets\n")


def float16_table() -> None:
    print(f"| fp16, NRMSE over {STEPS} golden samples | {' | '.join(WAYS)} |")
    print("| --- " * (1 + len(WAYS)) + "|")
    for recipe in recipes():
        if recipe.name in ("activity", "temperature", "turbofan") and not recipe.missing:
            config = load_config(f"recipe:{recipe.name}")
            with tempfile.TemporaryDirectory() as folder:
                found = float16_errors(train(config, Path(folder) / "run", quiet=True))
            cells = " | ".join(f"{e:.1e}" for e in found.values())
            print(f"| {recipe.name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
