"""w8a8 on RK3588 over whole test splits: the vendor's plain path and ours on three trained nets.

With the task's metric and the drift. The figures are those of the converter's simulator, never of a
board. Plain: the 4-D cell, one call, defaults. EDGE_LSTM_DATA names the folder with nab/ and
cmapss/.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from nets import chain, plain_inputs

from edge_lstm import CompactNet, Sequence, evaluate, load_config, train
from edge_lstm.data.recordings import shuffled
from edge_lstm.network import canonical_weights
from edge_lstm_export.graphs.npu import FORMS
from edge_lstm_export.npu.rknn.conversion import Conversion
from edge_lstm_export.npu.rknn.converter import Converter
from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from edge_lstm_export.npu.worker.making import interpreter
from edge_lstm_export.quantize.calibration import calibrate
from edge_lstm_export.quantize.choose_ranges import choose
from edge_lstm_runtime import ModelSpec, Reference, compare
from edge_lstm_runtime.session import answers
from edge_lstm_runtime.tasks.forecast import Forecast

DRIFT_STEPS = 10_000
WINDOW = 1000
Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Task:
    """train, val, test: the recordings' features, (T, F) each.

    metric: takes the outputs (steps, O) for all test recordings as one stream.
    """

    name: str
    spec: ModelSpec
    weights: dict[str, Array]
    train: list[Array]
    labels: list[object]
    val: list[Array]
    test: list[Array]
    metric_name: str
    metric: Callable[[Array], float]


def example(name: str, title: str, metric: str) -> Task:
    with tempfile.TemporaryDirectory() as folder:
        run = train(load_config(f"recipe:{name}"), Path(folder) / "run", quiet=True)
        splits = run.splits
        spec = run.spec
    test = shuffled(splits.test)

    def measure(outputs: Array) -> float:
        return float(evaluate(spec, test, finished(spec, test, outputs))[metric])

    def rows(sequences: list[Sequence]) -> list[Array]:
        return [spec.inputs.features(s.x)[0] for s in sequences]

    labels: list[object] = [s.label for s in splits.train]
    return Task(
        title,
        spec,
        run.weights,
        rows(splits.train),
        labels,
        rows(splits.val),
        rows(test),
        metric,
        measure,
    )


def finished(spec: ModelSpec, sequences: list[Sequence], outputs: Array) -> list[Array]:
    scaling = spec.answer.scaling(spec.inputs)
    found = []
    start = 0
    for sequence in sequences:
        part = outputs[start : start + len(sequence.x)].astype(np.float64)
        filled = spec.inputs.features(sequence.x)[1]
        found.append(part if scaling is None else answers(scaling, part, filled))
        start += len(part)
    return found


def turbofan(epochs: int) -> Task:
    """Remaining useful life on FD001, capped at 125 cycles.

    80 engines to train and 20 to test are drawn from the training file.
    """
    data = np.loadtxt(Path(os.environ["EDGE_LSTM_DATA"]) / "cmapss" / "train_FD001.txt")
    rng = np.random.default_rng(0)
    units = rng.permutation(np.unique(data[:, 0]))
    training = data[np.isin(data[:, 0], units[:80])]
    kept = [c for c in range(2, data.shape[1]) if training[:, c].std() > 1e-6]
    mean = training[:, kept].mean(axis=0)
    std = training[:, kept].std(axis=0)

    def engine(unit: float) -> tuple[Array, Array]:
        rows = data[data[:, 0] == unit]
        life = np.minimum(125, rows[-1, 1] - rows[:, 1])
        return (rows[:, kept] - mean) / std, (life[:, None] - 85) / 42

    # A forecast has no target outside the channels: only the sizes of this specification are used.
    names = tuple(f"sensor{c}" for c in kept)
    answer = Forecast(names[:1], 1, (0.0,), (1.0,))
    spec = ModelSpec(plain_inputs(names), chain(len(kept), 64, 1, 1), answer)
    torch.manual_seed(0)
    net = CompactNet(spec)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=10 * epochs)
    for _ in range(epochs):  # windows of all engines' lives as one stream, as a board sees them
        x, y = (
            np.concatenate(parts)
            for parts in zip(*(engine(u) for u in rng.permutation(units[:80])), strict=True)
        )
        for _ in range(10):
            starts = rng.integers(0, len(x) - 200, 32)
            batch, truth = (
                torch.tensor(np.stack([a[s : s + 200] for s in starts]), dtype=torch.float32)
                for a in (x, y)
            )
            loss = ((net(batch)[0] - truth)[:, 30:] ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
    test = [engine(u) for u in units[80:]]
    truth = np.concatenate([y for _, y in test])

    def rmse(outputs: Array) -> float:
        return float(42 * np.sqrt(np.mean((outputs - truth) ** 2)))

    recordings = [engine(u)[0] for u in units[:80]]
    return Task(
        "turbofan FD001",
        spec,
        canonical_weights(net),
        recordings[:70],
        [None] * 70,
        recordings[70:],
        [x for x, _ in test],
        "rmse",
        rmse,
    )


def trained(epochs: int) -> list[Task]:
    """All three nets. epochs: of the turbofan net."""
    return [
        example("activity", "BasicMotions", "accuracy"),
        example("temperature", "machine temperature", "rmse"),
        turbofan(epochs),
    ]


def measure(
    task: Task, scheme: str, form: str, samples: dict[str, Array], **options: Any
) -> dict[str, float]:
    stream = np.concatenate(task.test).astype(np.float32)
    repeated = np.tile(stream[:WINDOW], (DRIFT_STEPS // WINDOW, 1))
    reference = Reference(task.spec, task.weights)
    expected = reference.run(stream)
    reference.reset()
    expected_repeated = reference.run(repeated)
    built = FORMS[form](task.spec, task.weights, samples, **options)
    graph = built.graph.SerializeToString()
    conversion = Conversion(task.spec, graph, built.recipe, "rk3588", scheme, samples)
    with Converter(conversion) as converter:
        outputs = converter.run(stream)
        converter.reset()
        error = (converter.run(repeated) - expected_repeated).reshape(-1, WINDOW, expected.shape[1])
        cycles = converter.cycles or 0
        on_cpu = sum(row["target"] == "CPU" for row in converter.inner_operators)
    windows = np.sqrt((error**2).mean(axis=(1, 2)))
    return {
        "nrmse": compare(outputs, expected).nrmse,
        "metric": task.metric(outputs),
        "fp32": task.metric(expected.astype(np.float32)),
        "drift": float(windows[-1] / windows[0]),
        "cycles": cycles,
        "cpu": on_cpu,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: EDGE_LSTM_DATA=data python benchmarks/rknn_int8.py"
    )
    parser.add_argument(
        "--epochs", type=int, default=40, help="of the turbofan net (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if "EDGE_LSTM_DATA" not in os.environ:
        sys.exit("rknn_int8: set EDGE_LSTM_DATA to the folder with nab/ and cmapss/")
    interpreter(ENVIRONMENT, lambda line: print(line, file=sys.stderr))
    tasks = trained(arguments.epochs)
    print(machine.describe("torch", "numpy"))
    print(
        "whole test split as one stream, the state never reset, "
        "on the simulator of rknn-toolkit2, not a board\n"
    )
    print(
        "| net | scheme, form | NRMSE | metric | fp32 | drift | cycles | on the CPU |\n"
        + "| --- " * 8
        + "|"
    )
    for task in tasks:
        samples = calibrate(task.spec, task.weights, task.train, task.labels)
        chosen = choose(task.spec, task.weights, samples, [*task.val, *task.train])
        for scheme, form, options, label in (
            ("fp16", "cell", {}, "fp16, cell"),
            ("w8a8", "cell", {}, "w8a8, plain"),
            ("w8a8", "fused", {}, "w8a8, fused operator"),
            ("w8a8", "packed", {"products": chosen.products}, f"w8a8, ours, {chosen.rule}"),
        ):
            r = measure(task, scheme, form, samples, **options)
            metric = f"{task.metric_name} {r['metric']:.4g} | {r['fp32']:.4g}"
            print(
                f"| {task.name} | {label} | {r['nrmse']:.1e} | {metric} "
                f"| {r['drift']:.2f} | {r['cycles'] or '?'} | {r['cpu']} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
