"""How fast the trainer is over batch sizes, in tokens per second.

It is compared with the bare loop of benchmarks/trainer.py and with PyTorch's LSTM alone (cuDNN's on
a GPU), forward and backward, on the same device. On a GPU also with the step as a CUDA graph.

For orientation, d2l.ai prints figures for a language model of the same size (batch 32, 35 steps,
hidden 256, one-hot inputs of 28 characters): 17,736 tokens per second for its LSTM from scratch and
234,815 for nn.LSTM, on its GPU. Its machine is not this one.
"""

from __future__ import annotations

import argparse
import statistics

import machine
import trainer

BATCHES = {"cpu": (32, 128, 512), "cuda": (32, 128, 512, 2048, 8192)}


def main() -> None:
    arguments = trainer.parse(
        __doc__,
        "example: python benchmarks/train_speed.py --device cuda --precision bf16",
        inputs=28,
        epochs=3,
        turns=3,
    )
    print(machine.describe("torch", "lightning-fabric"))
    print(
        f"{arguments.layers} x {arguments.hidden} units, {arguments.inputs} inputs, "
        f"{arguments.steps} steps, {arguments.precision}, {trainer.place(arguments)}; "
        f"medians of {arguments.turns} turns\n"
    )
    graph = f"{'graph':>12}{'of alone':>9}" if arguments.device == "cuda" else ""
    columns = (
        f"{'batch':>5}{'LSTM alone':>12}{'bare loop':>12}{'trainer':>12}{'of bare':>9}"
        f"{'of alone':>9}{'carried':>12}{'of bare':>9}"
    )
    print(columns + graph)
    batches = BATCHES[arguments.device]
    sequences = arguments.batches * batches[0]  # in an epoch, about, but at least 3 batches
    for batch in dict.fromkeys((arguments.batch, *batches)):
        chosen = argparse.Namespace(
            **{**vars(arguments), "batch": batch, "batches": max(3, sequences // batch)}
        )
        rates = trainer.measure(chosen)
        plain = "trainer"
        carried = "trainer, state carried (its default)"
        alone, bare, ours, carrying = (
            statistics.median(rates[label])
            for label in (trainer.LSTM_ALONE, "bare loop", plain, carried)
        )
        shares = (trainer.of_bare(rates, plain), trainer.of_bare(rates, carried))
        head = f"{batch:>5}{alone:>12,.0f}{bare:>12,.0f}{ours:>12,.0f}"
        recorded = statistics.median(rates[trainer.GRAPH]) if graph else 0.0
        tail = f"{recorded:>12,.0f}{recorded / alone:>9.2f}" if graph else ""
        print(
            f"{head}{shares[0]:>9.2f}{ours / alone:>9.2f}{carrying:>12,.0f}{shares[1]:>9.2f}{tail}",
            flush=True,
        )


if __name__ == "__main__":
    main()
