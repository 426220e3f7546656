"""Train a compact recurrent net from a TOML configuration."""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import quote
from typing import Any

from edge_lstm_runtime.errors import ConfigError, MissingDependencyError

from ..config.load import load_config
from ..results import alarms
from ..results.metrics import CARRIED, figure, headline, title_of
from ..results.run import Run
from ..tasks.base import task_of
from ..training.folds import train_folds
from ..training.tracking import check_trackers
from ..training.train import train
from ._shared import add_changes, add_config, changes

GOES_ON = True  # the work is more than its output
DESCRIPTION = (
    "Train a compact recurrent net as a TOML file says, and write the run's folder: checkpoints, "
    "history, metrics, figures."
)
EPILOG = """\
examples:
  edge-lstm train recipe:activity -o runs/motions
  edge-lstm train my.toml -o runs/trial --set train.epochs=5 --set model.hidden_size=32
  edge-lstm train my.toml -o runs/trial --resume     # goes on, to the same result
  edge-lstm train my.toml -o runs/folds --folds 5    # cross-validation by group

A relative path in the file is looked for beside it, then below the folder in $EDGE_LSTM_DATA.
Afterwards: edge-lstm export RUN --target rk3588 -o NAME.edge
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_config(parser)
    parser.add_argument(
        "-o",
        "--out",
        metavar="RUN",
        type=Path,
        required=True,
        help="the folder to write; must not hold a run yet",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the interrupted run in RUN"
    )
    parser.add_argument(
        "--folds",
        metavar="K",
        type=int,
        help="train K runs, each tested on other groups that it has not seen, and print a table",
    )
    parser.add_argument(
        "--tracker",
        metavar="NAME",
        action="append",
        default=[],
        help="mlflow or wandb: parameters, figures of each epoch, test metrics and files go there "
        'too (`pip install "edge-lstm[mlflow]"`); may be repeated',
    )
    add_changes(parser)


def main(args: argparse.Namespace) -> int:
    check_trackers(args.tracker)
    if args.tracker and args.folds is not None:
        raise ConfigError("--tracker follows one run, and --folds trains several; leave one out")
    trackers = tuple(dict.fromkeys(args.tracker))
    try:
        if args.folds is not None:
            config = load_config(args.config, changes(args))
            print(train_folds(config, args.folds, args.out, resume=args.resume))
            print(f"written         {args.out}/fold0 ..., folds.json, folds.md")
            return 0
        config = load_config(args.config, changes(args))
        run = train(config, args.out, resume=args.resume, trackers=trackers)
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("edge_lstm"):
            raise
        raise MissingDependencyError(e.name or "a package", "train") from e
    if _is_first_rank():
        print(closing(run))
    return 0


def _is_first_rank() -> bool:
    import torch.distributed

    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def closing(run: Run) -> str:
    """The model, the test metrics, the files, and what to type next."""
    from ..results.sizes import table

    test = run.metrics["test"]
    lines = [
        run.model.summary(),
        f"best epoch      {run.metrics['best_epoch']} of {run.metrics['epochs']}",
    ]
    task = task_of(run.spec)
    lines += task.closing(test, run.metrics.get(f"test, {CARRIED}"))
    if alarms.KEY in test:
        lines += [
            f"{f'anomalies, {part}':<18}{alarms.sentence(run.metrics[part][alarms.KEY])}"
            for part in ("train", "val", "test")
        ]
    lines += [f"note            {note}" for note in run.metrics.get("notes", [])]
    lines += [
        f"written         {run.path}/best.pt, metrics.json, history.csv, curves.png, "
        f"{task.figure}, tensorboard/",
        f"next            edge-lstm export {quote(str(run.path))} --target rk3588 "
        f"-o {quote(f'{run.path.name}.edge')}",
    ]
    if "compact" in run.metrics:
        lines[-2:-2] = table(run.metrics["compact"])
    if "quantize" in run.metrics:
        lines.insert(-2, _quantised(run.metrics["quantize"]))
    return "\n".join(lines)


def _quantised(found: dict[str, Any]) -> str:
    """The test metric of the fine-tuned model as it is rounded.

    Those of the float model before stand beside it.
    """
    before = found["before"]
    after = found["after"]
    scheme = found["scheme"]
    metric = headline(after[scheme]["test"])
    which = ((after, scheme), (before, scheme), (before, "float32"))
    shown = [figure(part[name]["test"][metric]) for part, name in which]
    title = title_of(metric)
    emulated = "" if scheme == "int8" else ", emulated"
    if not found["epochs"]:
        why = "rounding costs no more than `tolerance` allows"
        found_so = f"{shown[1]}{emulated}, not fine-tuned: {why}"
        return f"in {scheme:<13}test {title} {found_so}; {shown[2]} in float32"
    tuned = f"{shown[0]} fine-tuned (epoch {found['best_epoch']})"
    rest = f"{shown[1]} before{emulated}; {shown[2]} in float32"
    return f"in {scheme:<13}test {title} {tuned}, {rest}"
