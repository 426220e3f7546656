"""`edge-lstm search` against the smallest nets of docs/recipes.md, which `sizes.py` found.

The budget is the bytes of that net in int8. So the question is whether a net that is no larger is
as good. Both are trained over the same seeds, and measured on the test split in int8 as an export
makes it. The search itself sees the validation split alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from tasks import TASKS, chosen, in_int8, over_seeds

from edge_lstm import Run, load_config, train
from edge_lstm.search.budget import Budget
from edge_lstm.search.costs import bytes_of
from edge_lstm.search.engines import ENGINES
from edge_lstm.search.run import Options, search

UNITS = {"activity": 16, "speakers": 16, "turbofan": 64}  # within a point of the best, or 1 %


@dataclasses.dataclass(frozen=True)
class Measured:
    """metrics: of the test split in int8, by seed. size: bytes of the constants in C, in int8."""

    metrics: list[float]
    size: int
    macs: int


def measured(name: str, config: Any, overrides: dict[str, Any], seeds: int) -> Measured:
    values = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            asked = load_config(config, overrides | {"train.seed": seed, "train.threads": 1})
            run: Run = train(asked, Path(folder) / "run", quiet=True)
            values.append(TASKS[name].metric(in_int8(run)[0]))
    return Measured(values, bytes_of(run.spec, "int8"), run.spec.network.macs_per_step)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: EDGE_LSTM_DATA=data python benchmarks/search.py activity --trials 12",
    )
    parser.add_argument("recipes", nargs="*", metavar="NAME", help=f"of {', '.join(UNITS)}")
    parser.add_argument("--trials", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--draws", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="of both nets: %(default)s")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's, to try the program")
    parser.add_argument("--folder", type=Path, help="keep the searches here, and go on with them")
    options = parser.parse_args()
    print(machine.describe("torch", "numpy", "optuna"))
    print(
        "| recipe | metric, test split, int8 | known net | bytes | MACs | metric | found | bytes "
        "| MACs | metric | trials | minutes |\n" + "| --- " * 12 + "|"
    )
    epochs = {"train.epochs": options.epochs} if options.epochs else {}
    for name in chosen(parser, options.recipes or list(UNITS)):
        known_net = {"model.hidden_size": UNITS[name]} | epochs
        known = measured(name, f"recipe:{name}", known_net, options.seeds)
        with tempfile.TemporaryDirectory() as made:
            folder = (options.folder or Path(made)) / name
            began = time.perf_counter()
            config = load_config(f"recipe:{name}", {"search.draws": options.draws} | epochs)
            asked = Options(
                Budget({"bytes": known.size}),
                ENGINES.load("optuna").ENGINE,
                options.trials,
                options.workers,
            )
            result = search(config, folder, asked)
            minutes = (time.perf_counter() - began) / 60
            print(result.text, file=sys.stderr, flush=True)
            found = measured(name, folder / "chosen.toml", {}, options.seeds)
        values = {**result.plan.space.fixed, **result.chosen.row.values}
        net = f"{values['type']}, {values['num_layers']} x {values['hidden_size']}"
        cells = [
            name,
            TASKS[name].label,
            f"lstm, 1 x {UNITS[name]}",
            f"{known.size:,} | {known.macs:,}",
            over_seeds(known.metrics),
            net,
            f"{found.size:,} | {found.macs:,}",
            over_seeds(found.metrics),
            str(options.trials),
            f"{minutes:.1f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
        better = statistics.mean(found.metrics) - statistics.mean(known.metrics)
        sign = 1 if TASKS[name].higher_is_better else -1
        print(f"  {name}: {sign * better:+.4g} in the metric (above 0 is better)", file=sys.stderr)


if __name__ == "__main__":
    main()
