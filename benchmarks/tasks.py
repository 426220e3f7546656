"""Each recipe over seeds: the test split's metric in float32 and in int8 on the native kernel, beside what others have published.

The metric is that of the published figures: accuracy at the last step; for turbofan the RMSE at the last cycle of each test engine; for
timemachine bits per character of held-out text; for the temperature the RMSE over that of the last value. Recipes whose data is not there
are left out. The int8 figures are of this machine's CPU; --npu adds w8a8 for the RK3588, on the vendor's simulator.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np

from edge_lstm import Run, load_config, load_data, train
from edge_lstm.recipes import recipes
from edge_lstm_export.pipeline import export_run
from edge_lstm_export.steps.evaluate_task import test_metrics
from edge_lstm_export.steps.quantise_native import of_run
from edge_lstm_runtime import Backend
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import read_int8
from edge_lstm_runtime.backends.numpy import numpy_backend

Metrics = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """metric: what is compared; published: the same, by others."""

    label: str
    metric: Callable[[Metrics], float]
    published: str


TASKS = {
    "activity": Task("accuracy", lambda m: m["accuracy"], "DTW 0.975"),
    "digits": Task("accuracy", lambda m: m["accuracy"], "none known of this split"),
    "speakers": Task("accuracy", lambda m: m["accuracy"], "DTW 0.949, ROCKET 0.96 to 0.97"),
    "temperature": Task("RMSE / last value's", lambda m: m["rmse"] / m["baselines"]["naive"]["rmse"], "none known"),
    "timemachine": Task("bits per character", lambda m: m["bits_per_character"], "none known"),
    "turbofan": Task("RMSE, last cycle", lambda m: m["rmse_last"], "deep LSTM 16.14, 14.93"),
}


def backends(run: Run) -> dict[str, Backend]:
    """Float32 by NumPy, and the int8 weights that an export makes, on the native kernel."""
    layers, steps = read_int8(run.spec, of_run(run))
    return {
        "fp32": numpy_backend(run.spec, run.weights),
        "native-int8": NativeBackend(run.spec, {**run.weights, **layers}, "int8", steps=steps),
    }


def measured(name: str, seed: int, epochs: int | None, npu: bool) -> tuple[dict[str, Metrics], float]:
    """The test split's metrics by backend, and the seconds that training took."""
    overrides: dict[str, Any] = {"train.seed": seed} | ({"train.epochs": epochs} if epochs else {})
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = train(load_config(f"recipe:{name}", overrides), Path(folder) / "run", quiet=True)
        seconds = time.perf_counter() - began
        metrics, answers = test_metrics(run, backends(run))
        if name == "turbofan":
            print(f"  seed {seed}: {turbofan_details(run, answers['fp32'])}", file=sys.stderr)
        if npu:
            work = export_run(run, Path(folder) / "model.edge", targets=("rk3588",), schemes=("w8a8",))
            metrics["w8a8, simulator"] = next(m for key, m in work.metrics.items() if key.startswith("rknn-sim") and "," not in key)
    return metrics, seconds


def turbofan_details(run: Run, answers: list[np.ndarray[Any, Any]]) -> str:
    """What some papers report instead: against the life without its cap, and NASA's score (late answers cost more than early ones)."""
    whole = load_config("recipe:turbofan", {"data.target_cap": 1e9})
    answer = np.array([a[-1, 0] for a in answers], np.float64)
    texts = []
    for label, sequences in (("life up to the cap", run.splits.test), ("life without a cap", load_data(whole).test)):
        error = answer - np.array([s.y[-1, 0] for s in sequences if s.y is not None])
        score = np.where(error < 0, np.exp(-error / 13) - 1, np.exp(error / 10) - 1).sum()
        texts.append(f"{label}: RMSE {np.sqrt((error**2).mean()):.2f}, score {score:.0f}")
    return "; ".join(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: EDGE_LSTM_DATA=data python benchmarks/tasks.py --seeds 3")
    parser.add_argument("recipes", nargs="*", metavar="NAME", help=f"of {', '.join(TASKS)}; all when left out")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's, to try the program")
    parser.add_argument(
        "--npu", action="store_true", help="also convert for the NPU and stream on the simulator: minutes more for each seed"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.recipes) - set(TASKS):
        parser.error(f"there is no recipe {min(unknown)!r}; expected {', '.join(TASKS)}")
    print(machine.describe("torch", "numpy"))
    columns = ["fp32", "native-int8", *(["w8a8, simulator"] if arguments.npu else [])]
    print(f"| recipe | metric, test split | {' | '.join(columns)} | published | training |\n" + "| --- " * (4 + len(columns)) + "|")
    for recipe in recipes():
        if arguments.recipes and recipe.name not in arguments.recipes:
            continue
        if recipe.missing:
            print(f"| {recipe.name} | left out: {recipe.missing} |", flush=True)
            continue
        task = TASKS[recipe.name]
        rows = [measured(recipe.name, seed, arguments.epochs, arguments.npu) for seed in range(arguments.seeds)]
        cells = []
        for column in columns:
            values = [task.metric(metrics[column]) for metrics, _ in rows if column in metrics]
            cells.append(f"{statistics.mean(values):.4g} ({min(values):.4g} to {max(values):.4g})" if values else "none")
        seconds = statistics.mean(seconds for _, seconds in rows)
        print(f"| {recipe.name} | {task.label} | {' | '.join(cells)} | {task.published} | {seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
