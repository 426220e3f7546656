"""What compiles for Ethos-U, and how right it is: nets of all recurrent types, targets and schemes.

    python benchmarks/ethos_u.py [--target NAME ...] [--hidden N ...] [--layers N ...]
    python benchmarks/ethos_u.py --runs RUN ... [--target NAME ...]

Each net has weights by chance, of torch's size, and 8 inputs, a walk. Of its forms the first one
within the limit is kept: NRMSE 5e-3 for a16w8, 2e-2 for a8w8, over 300 carried steps against the
float64 reference. The integers are those of our NumPy program. The first 50 steps are compared with
TOSA's reference model, to the bit. Cycles, SRAM and flash are Vela's estimates, and no measurement.
The compiler's environment is made on first use.

With --runs, trained nets are exported, and a line has the larger NRMSE of the passes over the whole
test split (reset at each recording, never reset), and each one's metrics of float32 and of the
integers.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_lstm_export import export_run
from edge_lstm_export.npu.ethos_u.compiled import Compiled
from edge_lstm_export.npu.ethos_u.conversion import FORMS, Conversion
from edge_lstm_export.npu.ethos_u.convert import prove
from edge_lstm_export.npu.ethos_u.targets import targets
from edge_lstm_runtime import ConversionError, ModelSpec, compare, load
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.backends.reference import reference
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.layers import Float32
from edge_lstm_runtime.model.network import network_from
from edge_lstm_runtime.tasks.values import Values

TARGETS = ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")
LIMITS = {"a8w8": 2e-2, "a16w8": 5e-3}
INPUTS = 8
OUTPUTS = 4
DRAWN = 1000  # steps of the calibration set
STEPS = 300
METRICS = ("accuracy", "accuracy_all_steps", "rmse_last", "rmse")  # that are printed


class Row(NamedTuple):
    """A cell of the matrix."""

    target: str
    scheme: str
    kind: str
    hidden: int
    layers: int


def net(row: Row) -> tuple[ModelSpec, dict[str, Float32]]:
    names = [f"{row.kind}{k}" for k in range(row.layers)]
    layers = [
        {"type": row.kind, "name": name, "units": row.hidden, "inputs": [before]}
        for before, name in zip(["x", *names], names, strict=False)
    ]
    head = {"type": "dense", "name": "head", "units": OUTPUTS, "inputs": [names[-1]]}
    network = network_from(INPUTS, [*layers, head])
    channels = Channels(tuple(f"c{k}" for k in range(INPUTS)), (0.0,) * INPUTS, (1.0,) * INPUTS)
    spec = ModelSpec(channels, network, Values(tuple(f"y{k}" for k in range(OUTPUTS))))
    rng = np.random.default_rng(row.hidden + row.layers)
    bound = row.hidden**-0.5
    weights = {
        n: rng.uniform(-bound, bound, s).astype(np.float32) for n, s in network.weights.items()
    }
    return spec, weights


def walk(steps: int, seed: int) -> Float32:
    """(steps, INPUTS) of variance 1, each step near the one before."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(steps, INPUTS))
    for t in range(1, steps):
        x[t] = 0.9 * x[t - 1] + np.sqrt(1 - 0.9**2) * x[t]
    return x.astype(np.float32)


def calibration(spec: ModelSpec, weights: dict[str, Float32]) -> dict[str, Float32]:
    backend = NumpyBackend(spec, weights)
    found = []
    for x in walk(DRAWN, 1):
        found.append({"x": x, **backend.state})
        backend.step(x)
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def line(row: Row) -> str:
    spec, weights = net(row)
    samples = calibration(spec, weights)
    rows = walk(STEPS, 2)
    expected = reference(spec, weights).run(rows)
    limit = LIMITS[row.scheme]
    said = ""
    for form in FORMS[row.scheme]:
        chip = targets()[row.target]
        try:
            made = Compiled(Conversion(spec, weights, samples, chip, row.scheme, form))
        except ConversionError as e:
            said = f"refused: {e}"
            continue
        with made:
            prove(made, rows[:50])
            error = compare(made.integers().run(rows), expected).nrmse
            summary = made.summary
            flash = [summary[f"{where}_chip_flash_memory_used"] for where in ("off", "on")]
            stored = sum(map(float, flash)) + float(summary["dram_memory_used"])
            memory = f"{float(summary['sram_memory_used']):7.2f} {stored:9.2f}"
            within = "good" if error <= limit else "WRONG"
            said = f"{form:5} {error:9.1e} {made.on_cpu:4} {made.cycles:8} {memory}  {within}"
        if error <= limit:
            break
    return f"{row.target:14} {row.scheme:6} {row.kind:5} {row.hidden:6} {row.layers:6} {said}"


def trained(run: str, target: str) -> None:
    """A line for each scheme."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "net.edge"
        export_run(run, out, targets=(target,))
        manifest = load(out).manifest
    metrics = manifest["metrics"]
    for member, row in manifest["artifacts"].items():
        passes = row["test_split"]["passes"].values()
        nrmse = max(one["nrmse"] for one in passes)
        told = []
        for own in (one for one in metrics if one["member"] == member):
            (float32,) = (
                one
                for one in metrics
                if one["backend"] == "numpy" and one["carried"] == own["carried"]
            )
            told += ["never reset:" if own["carried"] else "reset:"]
            told += [f"{n} {float32[n]:.5g} -> {own[n]:.5g}" for n in METRICS if n in own]
        print(f"{run} {member} {row['form']} {nrmse:.1e} {' '.join(told)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", nargs="+", default=TARGETS)
    parser.add_argument("--scheme", nargs="+", default=tuple(LIMITS))
    parser.add_argument("--kind", nargs="+", default=("lstm", "gru", "rnn"))
    parser.add_argument("--hidden", nargs="+", type=int, default=(16, 64, 128))
    parser.add_argument("--layers", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--runs", nargs="+", metavar="RUN", default=(), help="of edge-lstm train")
    asked = parser.parse_args()
    for run, target in itertools.product(asked.runs, asked.target):
        trained(run, target)
    if asked.runs:
        return
    chosen = (asked.target, asked.scheme, asked.kind, asked.hidden, asked.layers)
    rows = [Row(*each) for each in itertools.product(*chosen)]
    figures = "form      NRMSE  CPU   cycles SRAM KiB stored KiB"
    print(f"target         scheme type  hidden layers {figures}")
    with ThreadPoolExecutor(2) as pool:
        for text in pool.map(line, rows):
            print(text, flush=True)


if __name__ == "__main__":
    main()
