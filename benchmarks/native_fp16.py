"""Recipes, trained and exported: what weights in float16 cost over the whole test split.

    EDGE_LSTM_DATA=path/to/data python benchmarks/native_fp16.py activity turbofan

The figures are of this machine's CPU. Runs and bundles stand in --out, and a run that is finished
there is not trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import machine

from edge_lstm import Run, load_config, load_run, train
from edge_lstm_export import export_run
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.model.bundle import read_bundle

LIMIT = 1e-3  # NRMSE of each pass


def trained(folder: Path, recipe: str, seed: int) -> Run:
    if (folder / "metrics.json").exists():
        return load_run(folder)
    return train(load_config(f"recipe:{recipe}", {"train.seed": seed, "train.threads": 1}), folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("recipes", nargs="+", metavar="RECIPE")
    parser.add_argument("--seeds", type=int, default=1, help="0 to N - 1")
    parser.add_argument("--out", type=Path, default=Path("build/native_fp16"))
    arguments = parser.parse_args()
    print(machine.describe())
    arguments.out.mkdir(parents=True, exist_ok=True)
    print("| recipe, seed | network | NRMSE, reset | never reset | worst | weights | metric |")
    print("| --- " * 7 + "|")
    worst = 0.0
    for recipe in arguments.recipes:
        for seed in range(arguments.seeds):
            run = trained(arguments.out / f"{recipe}-{seed}", recipe, seed)
            file = arguments.out / f"{recipe}-{seed}.edge"
            if not file.exists():
                export_run(run, file, schemes=())
            split = read_bundle(file).manifest["native_fp16"]["test_split"]
            errors = [found["nrmse"] for found in split["passes"].values()]
            recordings = [found["worst_recording"] for found in split["passes"].values()]
            most = max((found["nrmse"] for found in recordings if found), default=max(errors))
            sizes = [
                NativeBackend(run.spec, run.weights, precision).weight_bytes
                for precision in ("float16", "float32")
            ]
            change = split["changes"]["reset"]["words"] if split["changes"] else "none"
            cells = [f"{recipe}, {seed}", run.spec.summary, *(f"{e:.1e}" for e in errors)]
            cells += ["–"] * (4 - len(cells))
            cells += [f"{most:.1e}", f"{sizes[0] / sizes[1]:.2f}", change]
            print("| " + " | ".join(cells) + " |", flush=True)
            worst = max(worst, *errors)
    print(
        f"\nlargest NRMSE {worst:.1e}; target <= {LIMIT:g}: {'met' if worst <= LIMIT else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
