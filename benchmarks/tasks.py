"""Each recipe over seeds: the test split's metric in float32 and in int8, beside published figures.

A figure is the mean over the seeds plus or minus their standard deviation (over n - 1).

The metric is that of the published figures:

- classes: accuracy at the last step
- turbofan: the RMSE at the last cycle of each test engine
- timemachine: bits per character of held-out text
- temperature: the RMSE over that of the last value
- anomaly: F1 by window
- occupancy: accuracy over every step of both test files
- bikes, weather: the mean absolute error of the median, a day and 3 hours ahead

A recipe is left out if its data is missing. native-int8 runs on this machine's CPU. --npu adds w8a8
for the RK3588 on the vendor's simulator, which is no board. --tuned adds both after
quantization-aware training, which begins with the same float32 model.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np

from edge_lstm import Run, load_config, load_data, train
from edge_lstm.network import CompactNet, canonical_weights
from edge_lstm.recipes.listing import recipes
from edge_lstm.training import checkpoint
from edge_lstm_export.measure.keys import NATIVE_INT8, NUMPY
from edge_lstm_export.npu.rknn import VENDOR
from edge_lstm_export.pipeline import export_run
from edge_lstm_export.steps.evaluate_task import test_metrics
from edge_lstm_export.steps.quantize_native import of_run
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import read_int8
from edge_lstm_runtime.backends.numpy import numpy_backend

Metrics = dict[str, Any]
FP32 = "fp32"
INT8 = "native-int8"
W8A8 = "w8a8, simulator"
TUNED = ", tuned"


@dataclasses.dataclass(frozen=True)
class Task:
    """metric: the figure that is compared. published: the same figure, by others."""

    label: str
    metric: Callable[[Metrics], float]
    published: str
    higher_is_better: bool = True


TASKS = {
    "activity": Task("accuracy, last step", lambda m: m["accuracy"], "DTW 0.975, ROCKET 1.0"),
    "anomaly": Task("F1 by window", lambda m: m["anomaly"]["f1"], "none known of this split"),
    "bikes": Task(
        "MAE a day ahead, users",
        lambda m: m["per_step"][-1]["mae"],
        "none known of this split",
        higher_is_better=False,
    ),
    "digits": Task("accuracy, last step", lambda m: m["accuracy"], "CNN on MFCC 0.97"),
    "occupancy": Task("accuracy, every step", lambda m: m["accuracy"], "none known of streams"),
    "speakers": Task(
        "accuracy, last step",
        lambda m: m["accuracy"],
        "DTW 0.949, ROCKET 0.96 to 0.97, best about 0.99",
    ),
    "temperature": Task(
        "RMSE / last value's",
        lambda m: m["rmse"] / m["baselines"]["naive"]["rmse"],
        "none known",
        higher_is_better=False,
    ),
    "timemachine": Task(
        "bits per character",
        lambda m: m["bits_per_character"],
        "none known",
        higher_is_better=False,
    ),
    "turbofan": Task(
        "RMSE, last cycle",
        lambda m: m["rmse_last"],
        "deep LSTM 16.14, LSTM 14.93",
        higher_is_better=False,
    ),
    "weather": Task(
        "MAE 3 hours ahead, °F",
        lambda m: m["per_step"][1]["mae"],
        "none known",
        higher_is_better=False,
    ),
}


def trained(name: str, folder: Path, overrides: dict[str, Any]) -> Run:
    return train(load_config(f"recipe:{name}", overrides), folder, quiet=True)


def before(run: Run) -> Run:
    """The float model that fine-tuning began with."""
    model = CompactNet(run.spec)
    model.load_state_dict(checkpoint.load(run.path / checkpoint.FLOAT)["model"])
    return dataclasses.replace(run, model=model.eval(), weights=canonical_weights(model), w8a8={})


def in_float32(run: Run) -> Metrics:
    metrics, answers = test_metrics(run, {NUMPY: numpy_backend(run.spec, run.weights)})
    if run.config.data.source == "cmapss":
        print(
            f"  seed {run.config.train.seed}: {turbofan_details(run, answers[NUMPY])}",
            file=sys.stderr,
        )
    return metrics[NUMPY]


def in_int8(run: Run) -> tuple[Metrics, int]:
    """The metrics with the int8 weights of an export, on the native kernel, and their bytes."""
    layers, steps = read_int8(run.spec, of_run(run))
    backend = NativeBackend(run.spec, {**run.weights, **layers}, "int8", steps=steps)
    return test_metrics(run, {NATIVE_INT8: backend})[0][NATIVE_INT8], backend.weight_bytes


def in_w8a8(run: Run, folder: Path) -> Metrics:
    work = export_run(run, folder / "model.edge", targets=("rk3588",), schemes=("w8a8",))
    return work.metrics[VENDOR.simulated("rk3588-w8a8.rknn")]


def measured(
    name: str, overrides: dict[str, Any], *, npu: bool, tuned: bool
) -> tuple[dict[str, Metrics], float]:
    """The test split's metrics by column, and the seconds that the float32 training took."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        began = time.perf_counter()
        run = trained(name, folder / "run", overrides)
        seconds = time.perf_counter() - began
        metrics = {FP32: in_float32(run), INT8: in_int8(run)[0]}
        if npu:
            metrics[W8A8] = in_w8a8(run, folder)
        if tuned:
            metrics[INT8 + TUNED] = in_int8(
                trained(name, folder / "int8", overrides | {"quantize.scheme": "int8"})
            )[0]
        if npu and tuned:
            metrics[W8A8 + TUNED] = in_w8a8(
                trained(name, folder / "w8a8", overrides | {"quantize.scheme": "w8a8"}), folder
            )
    return metrics, seconds


def turbofan_details(run: Run, answers: list[np.ndarray[Any, Any]]) -> str:
    """The figures that some papers report instead.

    They are against the life without its cap, and NASA's score, in which late answers cost more
    than early ones.
    """
    whole = load_config("recipe:turbofan", {"model.target_cap": 1e9})
    answer = np.array([a[-1, 0] for a in answers], np.float64)
    texts = []
    for label, sequences in (
        ("life up to the cap", run.splits.test),
        ("life without a cap", load_data(whole).test),
    ):
        error = answer - np.array([s.y[-1, 0] for s in sequences if s.y is not None])
        score = np.where(error < 0, np.exp(-error / 13) - 1, np.exp(error / 10) - 1).sum()
        texts.append(f"{label}: RMSE {np.sqrt((error**2).mean()):.2f}, score {score:.0f}")
    return "; ".join(texts)


def arguments(description: str | None, example: str, seeds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, epilog=f"example: EDGE_LSTM_DATA=data python benchmarks/{example}"
    )
    parser.add_argument(
        "recipes", nargs="*", metavar="NAME", help=f"of {', '.join(TASKS)}; all if left out"
    )
    parser.add_argument("--seeds", type=int, default=seeds, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's, to try the program")
    return parser


def chosen(parser: argparse.ArgumentParser, names: list[str]) -> list[str]:
    """The recipes asked for, if their data is there. The others are named on standard error."""
    if unknown := set(names) - set(TASKS):
        parser.error(f"there is no recipe {min(unknown)!r}; expected {', '.join(TASKS)}")
    found = [recipe for recipe in recipes() if recipe.name in (names or TASKS)]
    for recipe in found:
        if recipe.missing:
            print(f"{recipe.name}: left out: {recipe.missing}", file=sys.stderr)
    return [recipe.name for recipe in found if not recipe.missing]


def over_seeds(values: list[float]) -> str:
    """Mean to four digits, standard deviation as far as that, number of seeds."""
    mean = statistics.mean(values)
    digits = max(3 - math.floor(math.log10(abs(mean))), 0) if mean else 3
    if len(values) == 1:
        return f"{mean:.{digits}f} (1 seed)"
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f} ({len(values)} seeds)"


def main() -> None:
    parser = arguments(__doc__, "tasks.py --seeds 3", 10)
    parser.add_argument(
        "--npu",
        action="store_true",
        help="also convert for the NPU and stream on the simulator: minutes more for each seed",
    )
    parser.add_argument(
        "--tuned",
        action="store_true",
        help="also after quantization-aware training: about three times as long",
    )
    options = parser.parse_args()
    print(machine.describe("torch", "numpy"))
    columns = [FP32, INT8, *([INT8 + TUNED] if options.tuned else [])]
    columns += [W8A8, *([W8A8 + TUNED] if options.tuned else [])] if options.npu else []
    print(
        f"| recipe | metric, test split | {' | '.join(columns)} | published | training |\n"
        + "| --- " * (4 + len(columns))
        + "|"
    )
    for name in chosen(parser, options.recipes):
        task = TASKS[name]
        rows = []
        for seed in range(options.seeds):
            overrides: dict[str, Any] = {"train.seed": seed} | (
                {"train.epochs": options.epochs} if options.epochs else {}
            )
            rows.append(measured(name, overrides, npu=options.npu, tuned=options.tuned))
            found = {c: round(task.metric(m), 4) for c, m in rows[-1][0].items()}
            print(
                f"  {name}, seed {seed}: {found}",
                file=sys.stderr,
                flush=True,
            )
        cells = []
        for column in columns:
            values = [task.metric(metrics[column]) for metrics, _ in rows]
            cells.append(over_seeds(values))
        seconds = statistics.mean(seconds for _, seconds in rows)
        print(
            f"| {name} | {task.label} | {' | '.join(cells)} | {task.published} | {seconds:.0f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
