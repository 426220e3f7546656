"""Search for a small and good net under a board's budget: sizes, cells, rates, number format."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from shlex import quote

from edge_lstm_runtime.errors import ConfigError

from ..config.load import load_config
from ..search.budget import parse_budget
from ..search.clock import read_bench
from ..search.engines import ENGINES
from ..search.run import Options, search
from ..tasks.base import task_of
from ._shared import add_changes, add_config, changes

GOES_ON = True  # the work is more than its output
DESCRIPTION = """\
Train many nets and keep to a board's budget. What is searched: the type of the cells, units,
layers, learning rate, weight decay, the window of training, transforms if the data may have them.
Each net is measured in float32 and in int8. Its metric is that of the validation split, the mean
over several trainings. A net that is over the budget is never trained. The test split is looked at
once, with the chosen configuration."""
EPILOG = """\
budget: limits with <=, separated by commas. The first one is also what is to be low.
  bytes   of the model's constants in C, in flash
  macs    multiply-accumulates of a step
  us      microseconds of a step, measured on this machine; or, with --bench, estimated from what
          `edge-lstm bench har.edge --json > board.json` measured on the board
Numbers may end in k, M, Ki or Mi.

examples:
  edge-lstm search recipe:activity -o runs/search --budget "bytes<=40k, us<=3"
  edge-lstm search my.toml -o runs/search --budget "bytes<=16Ki" --trials 60   # goes on to 60
  edge-lstm search my.toml -o runs/search --bench board.json --budget "us<=200"
  edge-lstm search my.toml -o here --storage postgresql://host/name   # on each machine

The same command in the same folder goes on, after Ctrl-C or a crash too. A section [search] in
the file gives other ranges: --set search.hidden_size=[4,32] --set search.draws=2.
Written: search.md, search.json, search.png, chosen.toml, the runs in trials/ and chosen-NNN/.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_config(parser, "the configuration to begin with")
    parser.add_argument(
        "-o",
        "--out",
        metavar="FOLDER",
        type=Path,
        required=True,
        help="the folder to write; a search that is in it goes on",
    )
    parser.add_argument(
        "--budget",
        metavar="LIMITS",
        default="",
        help='what a net may cost, such as "bytes<=40k, us<=3" (default: anything)',
    )
    parser.add_argument(
        "--trials",
        metavar="N",
        type=int,
        default=40,
        help="nets to train in all, in this folder or storage (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=len(_cores()),
        help="processes, each of one thread; with 1 the search can be repeated exactly "
        "(default: one for each core, here %(default)s)",
    )
    parser.add_argument(
        "--bench",
        metavar="JSON",
        type=Path,
        help="figures of a board by `edge-lstm bench --json`; those of several bundles may be "
        "appended",
    )
    parser.add_argument(
        "--engine", default="optuna", metavar="NAME", help="optuna or ray (default: %(default)s)"
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        default="",
        help="a database that several machines share (default: a file in FOLDER)",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        default="",
        help="of a Ray cluster (default: one on this machine, for the search alone)",
    )
    add_changes(parser)


def _cores() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # not on Linux
        return set(range(os.cpu_count() or 1))


def main(args: argparse.Namespace) -> int:
    budget = parse_budget(args.budget)
    for option in ("trials", "workers"):
        if getattr(args, option) < 1:
            raise ConfigError(f"--{option} {getattr(args, option)}: expected at least 1")
    engine = ENGINES.load(args.engine).ENGINE
    if args.storage and args.engine != "optuna":
        raise ConfigError(f"--storage is for Optuna, and --engine is {args.engine}; remove it")
    if args.address and args.engine != "ray":
        raise ConfigError(f"--address is for Ray, and --engine is {args.engine}; remove it")
    config = load_config(args.config, changes(args))
    engine.check()
    bench = "" if args.bench is None else read_bench(args.bench)
    options = Options(budget, engine, args.trials, args.workers, bench, args.storage, args.address)
    result = search(config, args.out, options)
    test = task_of(result.run.spec).closing(result.run.metrics["test"], None)
    print(result.text)
    print("\n".join(test))
    print(
        f"written         {args.out}/search.md, search.json, search.png, chosen.toml, "
        f"{result.run.path.name}/"
    )
    print(
        f"next            edge-lstm export {quote(str(result.run.path))} --target rk3588 "
        f"-o {quote(f'{args.out.name}.edge')}"
    )
    return 0
