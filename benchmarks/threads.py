"""How near the automatic number of threads comes to the fastest one, on every recipe.

Each recipe trains with its default settings, in turns with 1, 2, 4, ... threads up to PyTorch's
default, for a part of a second each. In each turn the number is also chosen anew, as at a
training's start. *Share*: the time that the recipe's whole training would take with the fastest
number, over that with the chosen ones and their choosing. All steps are undone.

`--beside idle` on a machine that does nothing else, `--beside loop` beside a process that keeps one
core busy. With `--recipe NAME`, whole trainings of it in place of the table.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from edge_lstm import load_config, load_data, train
from edge_lstm.data.season import with_season
from edge_lstm.data.statistics import make_spec
from edge_lstm.recipes.listing import recipes
from edge_lstm.threads import Threads
from edge_lstm.training.loop import Training
from edge_lstm.training.progress import Reporter
from edge_lstm.training.train import make_fabric

Figures = tuple[float, float, float, list[float]]
CPU = {"train.accelerator": "cpu", "train.devices": 1}


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """One core of work for as long as this lasts."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


WORK = {"idle": contextlib.nullcontext, "loop": busy}


@dataclasses.dataclass
class Taken:
    """The batches and seconds with each number of threads, and what was chosen after how long."""

    batches: Counter[int] = dataclasses.field(default_factory=Counter)
    seconds: Counter[int] = dataclasses.field(default_factory=Counter)
    chosen: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def batch(self, number: int) -> float:
        return self.seconds[number] / self.batches[number]

    def share(self, batches: int) -> float:
        """batches: of the recipe's whole training."""
        best = batches * min(self.batch(number) for number in self.batches)
        ours = [batches * self.batch(number) + spent for number, spent in self.chosen]
        return best / statistics.mean(ours)


def counts() -> list[int]:
    """1, 2, 4, ... and PyTorch's default."""
    default = torch.get_num_threads()
    return sorted({*(2**k for k in range(default.bit_length())), default})


def slice_of(step: Callable[[], object], number: int, least: float) -> tuple[int, float]:
    """Batches with so many threads, in at least so many seconds."""
    torch.set_num_threads(number)
    step()
    made = 0
    began = time.perf_counter()
    while (spent := time.perf_counter() - began) < least or made < 3:
        if spent > 10 * least and made:
            break
        step()
        made += 1
    return made, time.perf_counter() - began


def compared(training: Training, turns: int, seconds: float) -> Taken:
    taken = Taken()
    for turn in range(turns):
        threads = Threads(None, measures=True)
        began = time.perf_counter()
        whole = training.config.train.epochs * len(training._batches)
        number, _ = threads.choose(training._rehearse, whole)
        taken.chosen.append((number, time.perf_counter() - began))
        order = counts()
        for tried in order[turn % len(order) :] + order[: turn % len(order)]:
            with training._rehearse() as step:
                made, spent = slice_of(step, tried, seconds)
            taken.batches[tried] += made
            taken.seconds[tried] += spent
    return taken


def table(beside: str, turns: int, seconds: float, wanted: list[str]) -> None:
    numbers = counts()
    heads = "".join(f"{f'{n} thread' + 's' * (n > 1):>12}" for n in numbers)
    print(f"milliseconds of a batch, beside: {beside}")
    print(f"{'recipe':<13}{heads}{'choosing, s':>13}{'share':>8}  chosen")
    shares = []
    for recipe in recipes():
        if recipe.missing or (wanted and recipe.name not in wanted):
            continue
        config = load_config(recipe.path, CPU)
        splits = load_data(config)
        spec = make_spec(config, splits)
        config, _ = with_season(config, spec, splits)
        with tempfile.TemporaryDirectory() as folder:
            quiet = Reporter(quiet=True)
            fabric = make_fabric(config.train)
            training = Training(config, spec, splits, Path(folder), fabric, quiet)
            with WORK[beside]():
                taken = compared(training, turns, seconds)
        share = taken.share(config.train.epochs * len(training._batches))
        shares.append(share)
        times = "".join(f"{1e3 * taken.batch(number):>12.3g}" for number in numbers)
        cost = statistics.mean(spent for _, spent in taken.chosen)
        chosen = Counter(number for number, _ in taken.chosen)
        told = ", ".join(f"{number} in {n} of {turns}" for number, n in sorted(chosen.items()))
        print(f"{recipe.name:<13}{times}{cost:>13.2f}{share:>8.2f}  {told}", flush=True)
    print(f"\nshare: least {min(shares):.2f}, median {statistics.median(shares):.2f}")


def measure(recipe: str, overrides: dict[str, Any]) -> Figures:
    """Samples per second, those of the slowest epoch, seconds in all, each epoch's threads."""
    config = load_config(f"recipe:{recipe}", {**CPU, **overrides})
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        history = train(config, Path(folder) / "run", quiet=True).history
        whole = time.perf_counter() - began
    rates = [row["samples_per_s"] for row in history]
    threads = [row["threads"] for row in history]
    return statistics.harmonic_mean(rates), min(rates), whole, threads


def whole(recipe: str, beside: str, turns: int, epochs: int) -> None:
    """With one thread, PyTorch's default and the automatic number, in turns.

    Samples per second are those of a training's epochs together. The whole training is its wall
    time, with reading the data, measuring threads, validation and figures. Medians of the turns,
    and the slowest epoch of all of them.
    """
    default = torch.get_num_threads()
    ways: dict[str, dict[str, Any]] = {
        "1 thread": {"train.threads": 1},
        f"PyTorch's default ({default})": {"train.threads": default},
        "automatic": {},
    }
    measure(recipe, {"train.epochs": 1})  # libraries are loaded
    print(f"recipe:{recipe}, {epochs} epochs, {turns} turns, beside: {beside}")
    print(f"{'threads':<24}{'samples/s':>10}{'slowest':>9}{'whole, s':>9}  epochs")
    found: dict[str, list[Figures]] = {way: [] for way in ways}
    with WORK[beside]():
        for _ in range(turns):
            for way, settings in ways.items():
                found[way].append(measure(recipe, {"train.epochs": epochs, **settings}))
    for way, each in found.items():
        rates, slowest, seconds, threads = zip(*each, strict=True)
        used = Counter(int(number) for numbers in threads for number in numbers)
        told = ", ".join(f"{count} with {number}" for number, count in sorted(used.items()))
        figures = f"{statistics.median(rates):>10,.0f}{min(slowest):>9,.0f}"
        print(f"{way:<24}{figures}{statistics.median(seconds):>9.1f}  {told}", flush=True)


def main() -> None:
    example = "example: python benchmarks/threads.py --beside idle"
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=example, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--beside", choices=WORK, help="default: first idle, then loop")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="of the recipes")
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="of a turn of each number; default: %(default)s"
    )
    parser.add_argument("--recipe", metavar="NAME", help="whole trainings of this one")
    parser.add_argument("--epochs", type=int, default=8, metavar="N", help="default: %(default)s")
    arguments = parser.parse_args()
    import machine  # not before torch, which would then have one thread

    print(machine.describe("torch"), flush=True)
    for beside in [arguments.beside] if arguments.beside else WORK:
        print()
        if arguments.recipe:
            whole(arguments.recipe, beside, arguments.turns, arguments.epochs)
        else:
            table(beside, arguments.turns, arguments.seconds, arguments.only)


if __name__ == "__main__":
    main()
