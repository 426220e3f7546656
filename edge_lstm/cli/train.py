"""Train a compact LSTM from a TOML configuration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_lstm_runtime.errors import MissingDependencyError

from ..results.run import Run
from ._shared import add_changes, changes

DESCRIPTION = "Train a compact LSTM as a TOML file says, and write the run's folder: checkpoints, history, metrics, figures."
EPILOG = """\
examples:
  edge-lstm train recipe:activity -o runs/motions
  edge-lstm train my.toml -o runs/trial --set train.epochs=5 --set model.hidden_size=32
  edge-lstm train my.toml -o runs/trial --resume     # after an interruption: the same result as without it

A relative path in the file is looked for beside it, then below the folder in $EDGE_LSTM_DATA.
Afterwards: edge-lstm export RUN --target rk3588 -o NAME.edge
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "config", metavar="CONFIG.toml", type=Path, help="the training configuration; or recipe:NAME, see `edge-lstm recipes`"
    )
    parser.add_argument("-o", "--out", metavar="RUN", type=Path, required=True, help="the folder to write; must not hold a run yet")
    parser.add_argument("--resume", action="store_true", help="go on with the interrupted run in RUN")
    add_changes(parser)


def main(args: argparse.Namespace) -> int:
    try:
        from ..config.load import load_config
        from ..training.train import train

        run = train(load_config(args.config, changes(args)), args.out, resume=args.resume)
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
    from ..results.metrics import CARRIED
    from ..results.plots import TEST_FIGURES
    from ..results.sizes import table

    test = run.metrics["test"]
    lines = [run.model.summary(), f"best epoch      {run.metrics['best_epoch']} of {run.metrics['epochs']}"]
    if run.spec.task == "classify":
        lines += [
            f"test accuracy   {test['accuracy']:.4f} at the last step of {test['sequences']} sequences, "
            f"{test['accuracy_all_steps']:.4f} over all {test['steps']:,} steps",
            f"test macro F1   {test['macro_f1']:.4f}",
        ]
        if carried := run.metrics.get(f"test, {CARRIED}"):
            last, every = carried["accuracy"], carried["accuracy_all_steps"]
            lines.append(f"never reset     {last:.4f} at the last step, {every:.4f} over all steps")
    elif run.spec.task == "language":
        lines.append(test["verdict"])
    else:
        lines += [*_errors(test), test["verdict"]]
    if "anomaly" in test:
        from ..results.alarms import sentence

        lines += [f"{f'anomalies, {part}':<18}{sentence(run.metrics[part]['anomaly'])}" for part in ("train", "val", "test")]
    lines += [
        f"written         {run.path}/best.pt, metrics.json, history.csv, curves.png, {TEST_FIGURES[run.spec.task]}, tensorboard/",
        f"next            edge-lstm export {run.path} --target rk3588 -o {run.path.name}.edge",
    ]
    if "compact" in run.metrics:
        lines[-2:-2] = table(run.metrics["compact"])
    if "quantize" in run.metrics:
        lines.insert(-2, _quantised(run.metrics["quantize"]))
    return "\n".join(lines)


def _errors(test: dict[str, Any]) -> list[str]:
    """A line for each target; for task "regress" then one for each at the last steps."""
    lines, at_end = [], []
    for target, found in test["per_target"].items():
        of = "" if len(test["per_target"]) == 1 else f"{target}: "
        nrmse = "" if found["nrmse"] is None else f", NRMSE {found['nrmse']:.4g}"
        errors = f"MAE {found['mae']:.4g}, RMSE {found['rmse']:.4g}{nrmse}"
        lines.append(f"test error      {of}{errors} over {test['steps']:,} steps")
        if "mae_last" in found:
            errors = f"MAE {found['mae_last']:.4g}, RMSE {found['rmse_last']:.4g}"
            where = f"at the last step of {test['sequences']} sequences"
            at_end.append(f"at the end      {of}{errors} {where}")
    return lines + at_end


def _quantised(found: dict[str, Any]) -> str:
    """The test metric of the fine-tuned model as it is rounded, beside those of the float model before."""
    from ..results.metrics import figure
    from ..results.sizes import TITLES, headline

    before, after, scheme = found["before"], found["after"], found["scheme"]
    metric = headline(after[scheme]["test"])
    which = ((after, scheme), (before, scheme), (before, "float32"))
    shown = [figure(part[name]["test"][metric]) for part, name in which]
    title = TITLES[metric]
    emulated = "" if scheme == "int8" else ", emulated"
    if not found["epochs"]:
        why = "rounding costs no more than `tolerance` allows"
        found_so = f"{shown[1]}{emulated}, not fine-tuned: {why}"
        return f"in {scheme:<13}test {title} {found_so}; {shown[2]} in float32"
    tuned = f"{shown[0]} fine-tuned (epoch {found['best_epoch']})"
    rest = f"{shown[1]} before{emulated}; {shown[2]} in float32"
    return f"in {scheme:<13}test {title} {tuned}, {rest}"
