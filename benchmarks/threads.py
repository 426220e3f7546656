"""How fast a recipe trains with one thread, with PyTorch's default and with the automatic number.

On a machine that is idle but for this, and beside a process that keeps one core busy, in turns.
Samples per second are those of a training's epochs together. The whole training is its wall time,
with reading the data, measuring threads, validation and figures. Medians of the turns, and the
slowest epoch of all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from edge_lstm import load_config, train

Figures = tuple[float, float, float, list[float]]


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """One core of work for as long as this lasts."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(recipe: str, overrides: dict[str, Any]) -> Figures:
    """Samples per second, those of the slowest epoch, seconds in all, each epoch's threads."""
    config = load_config(f"recipe:{recipe}", {"train.accelerator": "cpu", **overrides})
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        history = train(config, Path(folder) / "run", quiet=True).history
        whole = time.perf_counter() - began
    rates = [row["samples_per_s"] for row in history]
    threads = [row["threads"] for row in history]
    return statistics.harmonic_mean(rates), min(rates), whole, threads


def main() -> None:
    example = "example: python benchmarks/threads.py --epochs 30"
    parser = argparse.ArgumentParser(description=__doc__, epilog=example)
    parser.add_argument("--recipe", default="activity", help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=8, metavar="N", help="default: %(default)s")
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="default: %(default)s")
    arguments = parser.parse_args()
    default = torch.get_num_threads()
    import machine  # not before torch, which would then have one thread

    print(machine.describe("torch"))
    print(f"recipe:{arguments.recipe}, {arguments.epochs} epochs, {arguments.turns} turns\n")
    ways: dict[str, dict[str, Any]] = {
        "1 thread": {"train.threads": 1},
        f"PyTorch's default ({default})": {"train.threads": default},
        "automatic": {},
    }
    measure(arguments.recipe, {"train.epochs": 1})  # libraries are loaded
    print(f"{'beside':<8}{'threads':<24}{'samples/s':>10}{'slowest':>9}{'whole, s':>9}  epochs")
    for beside, work in (("nothing", contextlib.nullcontext), ("a loop", busy)):
        found: dict[str, list[Figures]] = {way: [] for way in ways}
        with work():
            for _ in range(arguments.turns):
                for way, settings in ways.items():
                    overrides = {"train.epochs": arguments.epochs, **settings}
                    found[way].append(measure(arguments.recipe, overrides))
        for way, turns in found.items():
            rates, slowest, seconds, threads = zip(*turns, strict=True)
            used = Counter(int(number) for epochs in threads for number in epochs)
            told = ", ".join(f"{epochs} with {number}" for number, epochs in sorted(used.items()))
            figures = f"{statistics.median(rates):>10,.0f}{min(slowest):>9,.0f}"
            whole = f"{statistics.median(seconds):>9.1f}"
            print(f"{beside:<8}{way:<24}{figures}{whole}  {told}", flush=True)


if __name__ == "__main__":
    main()
