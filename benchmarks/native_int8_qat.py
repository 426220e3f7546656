"""int8 on CPUs by quantization-aware training, beside rounding after the training.

The figures are of whole test splits and several seeds.

Every row is the native kernel on this machine's CPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import machine
import numpy as np

from edge_lstm import Run, Sequence, evaluate, load_config, train
from edge_lstm.config.common import QuantizeConfig
from edge_lstm.data.recordings import shuffled
from edge_lstm.emulate.cpu_int8 import grid_weights
from edge_lstm.network import CompactNet, canonical_weights
from edge_lstm.training import checkpoint
from edge_lstm_export.steps.quantize_native import of_run
from edge_lstm_runtime import Reference, Session, compare
from edge_lstm_runtime.backends.native import NativeBackend
from edge_lstm_runtime.backends.native_int8 import read_int8


def with_weights(run: Run, file: str, *, rounded: bool = False) -> Run:
    """The run with the weights of another of its checkpoints, or those rounded to the int8 grid."""
    model = CompactNet(run.spec)
    weights = checkpoint.load(run.path / file)["model"]
    model.load_state_dict(grid_weights(model, weights) if rounded else weights)
    return dataclasses.replace(run, model=model.eval(), weights=canonical_weights(model))


def by_gptq(run: Run) -> NativeBackend:
    layers, steps = read_int8(run.spec, of_run(run))
    return NativeBackend(run.spec, {**run.weights, **layers}, "int8", steps=steps)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python benchmarks/native_int8_qat.py my.toml --seeds 2",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="trainings of each net (default: %(default)s)"
    )
    parser.add_argument(
        "configs",
        nargs="+",
        type=Path,
        metavar="CONFIG.toml",
        help="what to train, without a section [quantize]",
    )
    arguments = parser.parse_args()
    print(machine.describe("torch", "numpy"))
    print(
        "NRMSE: against the float64 reference of the same weights, "
        "the test split as one stream, the state never reset\n"
    )
    print(
        "| net | seed | weights | NRMSE | validation | test | fine-tuning |\n" + "| --- " * 7 + "|"
    )
    for file in arguments.configs:
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                measure(file, seed, Path(folder) / "run")


def measure(file: Path, seed: int, out: Path) -> None:
    config = load_config(file, {"train.seed": seed}).model_copy(
        update={"quantize": QuantizeConfig(scheme="int8", tolerance=0.0)}
    )
    began = time.perf_counter()
    tuned = train(config, out, quiet=True)
    spent = time.perf_counter() - began
    before = with_weights(tuned, "float.pt")
    latent = with_weights(tuned, "int8/last.pt")
    last = with_weights(tuned, "int8/last.pt", rounded=True)
    found = tuned.metrics["quantize"]
    rows = (
        ("float32", before, NativeBackend(before.spec, before.weights)),
        ("int8, rounded", before, NativeBackend(before.spec, before.weights, "int8")),
        ("int8, GPTQ", before, by_gptq(before)),
        ("int8, fine-tuned, last epoch", last, NativeBackend(last.spec, last.weights, "int8")),
        ("int8, fine-tuned, last epoch, by GPTQ", latent, by_gptq(latent)),
        ("int8, as exported", tuned, by_gptq(tuned)),
        ("float32, as exported", tuned, NativeBackend(tuned.spec, tuned.weights)),
    )
    for label, run, backend in rows:
        stream = np.concatenate(
            [run.spec.inputs.features(s.x)[0] for s in shuffled(run.splits.test)]
        ).astype(np.float32)
        backend.reset()
        nrmse = compare(backend.run(stream), Reference(run.spec, run.weights).run(stream)).nrmse
        shown = [figure(run, getattr(run.splits, part), backend) for part in ("val", "test")]
        tuning = (
            f"epoch {found['best_epoch']} of {found['epochs']}, all {spent:.0f} s"
            if run is tuned
            else ""
        )
        print(
            f"| {file.stem} | {seed} | {label} | {nrmse:.1e} "
            f"| {shown[0]} | {shown[1]} | {tuning} |",
            flush=True,
        )


def figure(run: Run, recordings: list[Sequence], backend: NativeBackend) -> str:
    """The metrics, each recording from the zero state.

    Accuracies are all but equal, so the cross-entropy of the last steps stands beside them.
    """
    session = Session(run.spec, backend)
    answers = []
    for recording in recordings:
        session.reset()
        answers.append(session.run(recording.x))
    metrics = evaluate(run.spec, recordings, answers)
    if run.spec.answer.task == "forecast":
        return f"RMSE {metrics['rmse']:.5g}, MAE {metrics['mae']:.5g}"
    logits = np.array([a[-1] for a in answers], np.float64)
    right = logits[np.arange(len(logits)), [s.label for s in recordings]]
    entropy = (np.log(np.exp(logits).sum(axis=1)) - right).mean()
    return f"accuracy {metrics['accuracy']:.4g}, cross-entropy {entropy:.5f}"


if __name__ == "__main__":
    main()
