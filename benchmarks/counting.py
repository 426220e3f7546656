"""The native kernel in int8 on nets that count pulses, over 100,000 steps that are never reset.

The state of such a net sums up every error. The figures are of this machine's CPU.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import machine
import numpy as np

from edge_lstm import Run, load_config, train
from edge_lstm_export.quantize.calibration import calibrate
from edge_lstm_export.quantize.cpu_int8 import quantize
from edge_lstm_export.steps.quantize_native import of_run
from edge_lstm_runtime import Reference, compare
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import read_int8

STEPS = 100_000
PULSES = 0.3
# units, share of the steps that clear the count, seed, epochs
NETS = [(16, 0.02, 0, 25), *((32, clear, seed, 60) for clear in (0.02, 0.1) for seed in (0, 1))]
NETS += [(32, 0.002, 0, 80), (32, 0.005, 1, 80)]
VAL = [f"b{k:02d}" for k in range(10)]


def unit(name: str, steps: int, clear: float, rng: np.random.Generator) -> list[str]:
    count = 0
    rows = []
    for pulse, cleared in zip(rng.random(steps) < PULSES, rng.random(steps) < clear, strict=True):
        count = 0 if cleared else count + int(pulse)
        rows.append(f"{name},{int(pulse)},{int(cleared)},{count}")
    return rows


def counting(folder: Path, units: int, clear: float, seed: int, epochs: int) -> Run:
    rng = np.random.default_rng(seed)
    rows = ["unit,pulse,clear,count"]
    for name in [*(f"a{k:02d}" for k in range(80)), *VAL]:
        rows += unit(name, 400, clear, rng)
    rows += unit("t", STEPS, clear, rng)
    (folder / "count.csv").write_text("\n".join(rows) + "\n")
    (folder / "config.toml").write_text(
        '[data]\nsource = "csv"\npath = "count.csv"\nchannels = ["pulse", "clear"]\n'
        f"group = 'unit'\n[data.split]\nby = 'group'\nval = {VAL}\ntest = ['t']\n"
        f"[model]\ntask = 'regress'\ntargets = ['count']\nhidden_size = {units}\n"
        f"[train]\nepochs = {epochs}\nlearning_rate = 0.01\nbatch_size = 16\nseed = {seed}\n"
    )
    return train(load_config(folder / "config.toml"), folder / "run", quiet=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", type=int, default=len(NETS), help="the first N (default: all)")
    arguments = parser.parse_args()
    print(machine.describe("torch", "numpy"))
    print("\n| units, clears, seed | nearest | GPTQ | as exported | weights alone, GPTQ |")
    print("| --- " * 5 + "|")
    for net in NETS[: arguments.nets]:
        with tempfile.TemporaryDirectory() as folder:
            run = counting(Path(folder), *net)
            spec = run.spec
            weights = run.weights
            recordings = [spec.inputs.features(s.x)[0] for s in run.splits.train]
            samples = calibrate(spec, weights, recordings, [None] * len(recordings))
            rows = spec.inputs.features(run.splits.test[0].x)[0].astype(np.float32)
            right = Reference(spec, weights).run(rows)
            plain, plain_steps = read_int8(spec, quantize(spec, weights, samples))
            ours, our_steps = read_int8(spec, of_run(run))
        backends = [
            NativeBackend(spec, weights, "int8"),
            NativeBackend(spec, {**weights, **plain}, "int8", steps=plain_steps),
            NativeBackend(spec, {**weights, **ours}, "int8", steps=our_steps),
            NativeBackend(spec, {**weights, **plain}),
        ]
        errors = [compare(backend.run(rows), right).nrmse for backend in backends]
        cells = " | ".join(f"{error:.1e}" for error in errors)
        print(f"| {', '.join(map(str, net[:3]))} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
