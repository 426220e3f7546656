"""How well a language model memorizes the first 10,000 characters of The Time Machine.

256 units, 32 streams, 35 steps, as in the book "Dive into Deep Learning" in its chapter on the
LSTM, which has 500 epochs and a training perplexity of about 1.1.

Training perplexity is that of the last epoch, as the weights changed. "streamed" is that of the
final weights over the 10,000 characters in one stream from the zero state, by NumPy, as a board
would have it. It says nothing of other text: for that see `recipe:timemachine`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from pathlib import Path

import machine

from edge_lstm import evaluate, load_config, load_run, train
from edge_lstm_runtime import Session
from edge_lstm_runtime.backends.numpy import numpy_backend

CHARACTERS = 10_000
SETTINGS = {
    "data.first": 11_112,  # of which the first 10,000 are for training
    "model.hidden_size": 256,
    "train.batch_size": 32,
    "train.learning_rate": 0.005,
    "train.weight_decay": 0.0,
    "train.monitor": "loss",
}


def measured(seed: int, epochs: int) -> tuple[float, float, float]:
    """Perplexity in the last epoch and streamed, and the training's seconds without validation."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        train(
            load_config(
                "recipe:timemachine", {**SETTINGS, "train.seed": seed, "train.epochs": epochs}
            ),
            out,
            quiet=True,
        )
        run = load_run(out, "last")
    (text,) = run.splits.train
    if len(text.x) != CHARACTERS:
        raise SystemExit(f"the training text has {len(text.x)} characters, expected {CHARACTERS}")
    logits = Session(run.spec, numpy_backend(run.spec, run.weights)).run(text.x)
    streamed = evaluate(run.spec, [text], [logits])["perplexity"]
    return (
        math.exp(run.history[-1]["train_loss"]),
        streamed,
        sum(row["seconds"] for row in run.history),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: EDGE_LSTM_DATA=data python benchmarks/language.py --seeds 3",
    )
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=120, help="default: %(default)s")
    arguments = parser.parse_args()
    print(machine.describe("torch", "numpy"))
    print("| seed | training perplexity | streamed | training |\n| --- | ---: | ---: | ---: |")
    rows = []
    for seed in range(arguments.seeds):
        rows.append(measured(seed, arguments.epochs))
        training, streamed, seconds = rows[-1]
        print(f"| {seed} | {training:.3f} | {streamed:.3f} | {seconds:.0f} s |", flush=True)
    means = [statistics.mean(column) for column in zip(*rows, strict=True)]
    print(f"| mean | {means[0]:.3f} | {means[1]:.3f} | {means[2]:.0f} s |")


if __name__ == "__main__":
    main()
