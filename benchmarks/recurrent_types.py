"""LSTM, GRU and RNN from one recipe, exported: what each number format costs on the test split.

    EDGE_LSTM_DATA=path/to/data python benchmarks/recurrent_types.py --recipe activity --seeds 3

NPU figures are the converter's simulator's, never a board's. CPU figures are this machine's. Runs
and bundles stand in --out, and a run that is finished there is not trained again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import machine

from edge_lstm import Run, load_config, load_run, train
from edge_lstm_export import export_run
from edge_lstm_runtime.layers import recurrent_types
from edge_lstm_runtime.model.bundle import read_bundle
from edge_lstm_runtime.model.measured import read_measured


def trained(folder: Path, recipe: str, kind: str, seed: int) -> Run:
    if (folder / "metrics.json").exists():
        return load_run(folder)
    overrides = {"model.type": kind, "train.seed": seed, "train.threads": 1}
    return train(load_config(f"recipe:{recipe}", overrides), folder)


def rows(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and test split of each model in fewer bits."""
    for name, row in sorted(manifest["artifacts"].items()):
        yield name, row["test_split"]
    if manifest.get("native_int8"):
        yield "native-int8", manifest["native_int8"]["test_split"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--recipe", default="activity")
    parser.add_argument("--types", nargs="+", default=["lstm", "gru", "rnn"])
    parser.add_argument("--seeds", type=int, default=1, help="0 to N - 1")
    parser.add_argument("--target", default="rk3588")
    parser.add_argument("--out", type=Path, default=Path("build/recurrent_types"))
    arguments = parser.parse_args()
    unknown = set(arguments.types) - set(recurrent_types())
    if unknown:
        parser.error(
            f"--types {' '.join(unknown)}: expected some of {', '.join(recurrent_types())}"
        )
    print(machine.describe())
    arguments.out.mkdir(parents=True, exist_ok=True)
    for kind in arguments.types:
        for seed in range(arguments.seeds):
            name = f"{arguments.recipe}-{kind}-{seed}"
            run = trained(arguments.out / name, arguments.recipe, kind, seed)
            bundle = arguments.out / f"{name}.edge"
            if not bundle.exists():
                export_run(run, bundle, targets=(arguments.target,), say=print)
            manifest = read_bundle(bundle).manifest
            print(f"\n{name}: {run.spec.network.parameters:,} parameters")
            for model, split in rows(manifest):
                passes = split["passes"].items()
                errors = ", ".join(f"{p['nrmse']:.1e} {how}" for how, p in passes)
                form = manifest["artifacts"].get(model, {}).get("form", "")
                print(f"  {model:<18} {form:<7} {split['verdict']}: NRMSE {errors}")
            for measured, figures in read_measured(manifest["metrics"]).items():
                plain = {k: v for k, v in figures.items() if isinstance(v, float)}
                print(f"  {measured!s:<40} {json.dumps(plain)[:110]}")


if __name__ == "__main__":
    main()
