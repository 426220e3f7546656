"""The examples over seeds.

BasicMotions with and without a carried state in training. Machine temperature against naive
forecasts, if EDGE_LSTM_DATA is set.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine

from edge_lstm import Run, load_config, train
from edge_lstm.results.metrics import CARRIED
from edge_lstm_export.measure.keys import NUMPY
from edge_lstm_export.steps.evaluate_task import test_metrics
from edge_lstm_runtime.backends.numpy import NumpyBackend

STEPS = {"at the last step": "accuracy", "over all steps": "accuracy_all_steps"}


def trained(example: str, **settings: object) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(
            f"recipe:{example}", {f"train.{key}": value for key, value in settings.items()}
        )
        return train(config, Path(folder) / "run", quiet=True)


def line(label: str, values: list[float]) -> None:
    spread = f"{statistics.mean(values):.4f} (min {min(values):.4f}, max {max(values):.4f})"
    print(f"  {label:<52}{spread:<44}{'  '.join(f'{v:.3f}' for v in values)}", flush=True)


def over_seeds(
    example: str,
    seeds: int,
    columns: dict[str, Callable[[dict[str, Any]], float]],
    **settings: object,
) -> None:
    """Train on each seed, stream the test split by NumPy, and print a line for each column."""
    rows = []
    for seed in range(seeds):
        run = trained(example, seed=seed, **settings)
        rows.append(test_metrics(run, {NUMPY: NumpyBackend(run.spec, run.weights)})[0])
    for label, column in columns.items():
        line(label, [column(row) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/accuracy.py --seeds 10"
    )
    parser.add_argument("--seeds", type=int, default=5, help="default: %(default)s")
    seeds = parser.parse_args().seeds
    print(machine.describe("torch", "numpy"))
    for carry in (0.5, 0.0):
        print(f"\nBasicMotions, test split, carry = {carry}")
        columns = {
            f"accuracy {where}, {when}": lambda m, key=key, name=name: m[name][key]
            for where, key in STEPS.items()
            for when, name in (("reset at each recording", NUMPY), (CARRIED, NUMPY.never_reset()))
        }
        over_seeds("activity", seeds, columns, carry=carry)
    if "EDGE_LSTM_DATA" not in os.environ:
        print("\nmachine temperature: left out; put its folder in EDGE_LSTM_DATA")
        return
    print(
        "\nmachine temperature, an hour ahead, test split: "
        "error over that of the naive forecast, below 1 is better"
    )
    columns = {
        f"{key.upper()} / {key.upper()} of {name}": lambda m, key=key, name=name: (
            m[NUMPY][key] / m[NUMPY]["baselines"][name][key]
        )
        for name in ("naive", "seasonal")
        for key in ("mae", "rmse")
    }
    over_seeds("temperature", seeds, columns)


if __name__ == "__main__":
    main()
