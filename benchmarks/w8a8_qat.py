"""w8a8 on RK3588 by fine-tuning, beside rounding after the training.

Every figure of w8a8 is the converter's simulator's, not a board's.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import machine
from nets import hidden_size
from tasks import before

from edge_lstm import load_config, train
from edge_lstm_export import export_run
from edge_lstm_export.measure.keys import NUMPY
from edge_lstm_export.npu.rknn import VENDOR

ARTIFACT = "rk3588-w8a8.rknn"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python benchmarks/w8a8_qat.py recipe:activity --hidden-size 16",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="trainings of each net (default: %(default)s)"
    )
    parser.add_argument("--hidden-size", type=int, help="units, in place of the configuration's")
    parser.add_argument(
        "configs",
        nargs="+",
        metavar="CONFIG.toml",
        help="what to train, without a section [quantize]",
    )
    arguments = parser.parse_args()
    print(machine.describe("torch", "numpy"))
    print(
        "\n| net | units | seed | w8a8 | form | NRMSE | metric, w8a8 | in fp32 |\n"
        + "| --- " * 8
        + "|"
    )
    size = {"model.hidden_size": arguments.hidden_size} if arguments.hidden_size else {}
    for file in arguments.configs:
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                config = load_config(
                    file,
                    {
                        "train.seed": seed,
                        "quantize.scheme": "w8a8",
                        "quantize.tolerance": 0.0,
                        **size,
                    },
                )
                tuned = train(config, Path(folder) / "run", quiet=True)
                found = tuned.metrics["quantize"]
                for name, run in (
                    ("rounded", before(tuned)),
                    (f"fine-tuned, epoch {found['best_epoch']} of {found['epochs']}", tuned),
                ):
                    work = export_run(run, Path(folder) / "net.edge", schemes=("w8a8",))
                    int8 = VENDOR.simulated(ARTIFACT)
                    metrics = [work.metrics[backend] for backend in (int8, NUMPY)]
                    keys = (
                        ("accuracy", "accuracy_all_steps")
                        if "accuracy" in metrics[0]
                        else ("rmse",)
                    )
                    shown = " | ".join(", ".join(f"{k} {m[k]:.4g}" for k in keys) for m in metrics)
                    nrmse = work.accuracy[int8].comparison.nrmse
                    form = work.artifacts[ARTIFACT].form.name
                    print(
                        f"| {Path(file).stem} | {hidden_size(run.spec)} | {seed} | {name} | {form} "
                        f"| {nrmse:.1e} | {shown} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
