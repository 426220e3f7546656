"""Small nets three ways: trained as they are, pruned from a larger one, and taught by it.

They are measured on the two packaged recipes of classes. The larger net is the recipe's own.
Figures are of the test split. A step is the native kernel's on this machine's CPU, from features to
outputs.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from itertools import cycle
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from nets import hidden_size

from edge_lstm import Run, load_config, train
from edge_lstm.compare.rows import microseconds
from edge_lstm.config.common import PruneConfig
from edge_lstm.training import checkpoint
from edge_lstm_runtime.backends.native import NativeBackend

SIZES = {"speakers": (8, 16, 32), "activity": (4, 8, 16)}
WAYS = ("direct", "direct, 1.6 x epochs", "pruned", "distilled")


def trained(recipe: str, seed: int, folder: Path, **changes: Any) -> Run:
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    # [prune] and refit don't go together.
    return train(
        load_config(f"recipe:{recipe}", {"train.seed": seed, "train.refit": False, **dotted}),
        folder,
        quiet=True,
    )


def pruned(run: Run, size: int, folder: Path) -> Run:
    """As by [prune] in the run's configuration. Its training is not done again."""
    config = run.config.model_copy(update={"prune": PruneConfig(hidden_size=size)})
    shutil.copytree(run.path, folder)
    (folder / checkpoint.METRICS).unlink()
    for name in (checkpoint.BEST, checkpoint.LAST):
        checkpoint.save(
            folder / name, checkpoint.load(folder / name) | {"config": config.to_dict()}
        )
    return train(config, folder, resume=True, quiet=True)


def small(way: str, recipe: str, size: int, seed: int, teacher: Run, folder: Path) -> Run:
    if way == "pruned":
        return pruned(teacher, size, folder)
    if way == "distilled":
        return trained(
            recipe, seed, folder, model__hidden_size=size, distill__teacher=str(teacher.path)
        )
    epochs = teacher.config.train.epochs
    return trained(
        recipe,
        seed,
        folder,
        model__hidden_size=size,
        train__epochs=epochs if way == "direct" else round(1.6 * epochs),
    )


def step(run: Run) -> float:
    backend = NativeBackend(run.spec, run.weights)
    rows = cycle(run.spec.inputs.features(run.splits.test[0].x)[0].astype(np.float32))
    return microseconds(lambda: backend.step(next(rows)))


def figures(runs: list[Run]) -> str:
    cells = []
    for metric in ("accuracy", "accuracy_all_steps"):
        values = [100 * run.metrics["test"][metric] for run in runs]
        cells.append(f"{np.mean(values):.1f} ({', '.join(f'{v:.1f}' for v in values)})")
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/compact.py activity --seeds 1"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="trainings of each (default: %(default)s)"
    )
    parser.add_argument(
        "recipes",
        nargs="*",
        choices=[*SIZES, []],
        metavar="RECIPE",
        help="speakers, activity; both when left out",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(machine.describe("torch", "numpy"))
    print(
        "\n| recipe | units | how | accuracy, last step, % (each seed) | every step, % "
        "| parameters | MACs/step | µs/step |"
    )
    print("| --- " * 8 + "|")
    for recipe in arguments.recipes or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            teachers = [
                trained(recipe, seed, Path(folder) / f"{seed}") for seed in range(arguments.seeds)
            ]
            row(recipe, "the recipe's", teachers)
            for size in SIZES[recipe]:
                for way in WAYS:
                    folders = [
                        Path(folder) / f"{seed}-{size}-{way}" for seed in range(arguments.seeds)
                    ]
                    pairs = enumerate(zip(teachers, folders, strict=True))
                    row(
                        recipe,
                        way,
                        [
                            small(way, recipe, size, seed, teacher, out)
                            for seed, (teacher, out) in pairs
                        ],
                    )


def row(recipe: str, way: str, runs: list[Run]) -> None:
    spec = runs[0].spec
    sizes = f"{spec.network.parameters:,} | {spec.network.macs_per_step:,} | {step(runs[0]):.2f}"
    print(f"| {recipe} | {hidden_size(spec)} | {way} | {figures(runs)} | {sizes} |", flush=True)


if __name__ == "__main__":
    main()
